// JSON (RFC 8259): a strict reader into a small value, and a streaming writer. The reader's engine
// is simdjson, hidden in json.cpp, so that no header pays for it. Depth at most 64. Object order is
// kept as read; a repeated key is an error.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"

namespace thole {

class Json {
public:
    using Array = std::vector<Json>;
    using Member = std::pair<std::string, Json>;
    using Object = std::vector<Member>;

    Json() = default;  // null
    Json(bool value) : content_(value) {}
    Json(std::int64_t value) : content_(value) {}
    Json(double value) : content_(value) {}
    Json(std::string value) : content_(std::move(value)) {}
    Json(Array value) : content_(std::move(value)) {}
    Json(Object value) : content_(std::move(value)) {}

    bool is_null() const { return content_.index() == 0; }
    const bool* boolean() const { return std::get_if<bool>(&content_); }
    const std::int64_t* integer() const { return std::get_if<std::int64_t>(&content_); }
    // A number of either kind.
    const double* real() const { return std::get_if<double>(&content_); }
    const std::string* text() const { return std::get_if<std::string>(&content_); }
    const Array* array() const { return std::get_if<Array>(&content_); }
    const Object* object() const { return std::get_if<Object>(&content_); }

    // The member of an object, or nullptr (also where this is no object).
    const Json* find(std::string_view key) const;
    // The member's text, integer or boolean, or an error that names the key.
    Result<std::string> text_at(std::string_view key) const;
    Result<std::int64_t> integer_at(std::string_view key) const;
    Result<bool> boolean_at(std::string_view key) const;

private:
    std::variant<std::monostate, bool, std::int64_t, double, std::string, Array, Object> content_;
};

Result<Json> parse_json(std::string_view text);

// Writes one JSON text piece by piece: JsonWriter w;
// w.begin_object().key("a").value(1).end_object(); w.take(). Commas are its business; CHECKs that
// calls nest. Bytes that are no UTF-8 become U+FFFD.
class JsonWriter {
public:
    JsonWriter& begin_object();
    JsonWriter& end_object();
    JsonWriter& begin_array();
    JsonWriter& end_array();
    JsonWriter& key(std::string_view name);
    JsonWriter& value(std::string_view text);
    JsonWriter& value(const char* text) { return value(std::string_view(text)); }
    JsonWriter& value(const std::string& text) { return value(std::string_view(text)); }
    JsonWriter& value(std::int64_t number);
    JsonWriter& value(std::uint64_t number);
    JsonWriter& value(int number) { return value(static_cast<std::int64_t>(number)); }
    JsonWriter& value(std::uint32_t number) { return value(static_cast<std::uint64_t>(number)); }
    JsonWriter& value(double number);  // Not finite: null.
    JsonWriter& value(bool truth);
    JsonWriter& null();
    // A whole value that is JSON already.
    JsonWriter& raw(std::string_view json);

    // key() and value() at once.
    template <typename T>
    JsonWriter& member(std::string_view name, const T& content) {
        return key(name).value(content);
    }

    const std::string& text() const {
        CHECK(closes_.empty());
        return out_;
    }
    std::string take() {
        CHECK(closes_.empty());
        return std::move(out_);
    }

private:
    void before_value();
    JsonWriter& open(char opener, char closer);
    JsonWriter& close(char closer);
    std::string out_;
    std::string closes_;  // What is still to close, innermost last.
    bool comma_ = false;  // The next value or key needs one.
};

// The text with quotes and escapes.
std::string json_quoted(std::string_view text);

}  // namespace thole
