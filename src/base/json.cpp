#include "base/json.h"

#include <cmath>
#include <limits>
#include <set>

#include <fmt/core.h>
#include <simdjson.h>

namespace thole {

namespace {

constexpr std::size_t kDepthMax = 64;

Result<Json> convert(const simdjson::dom::element& element);

Result<Json> convert_object(const simdjson::dom::object& object) {
    Json::Object members;
    // Not each against each: who sends a long one must not choose how long we take.
    std::set<std::string_view> keys;
    for (const auto field : object) {
        if (!keys.insert(field.key).second)
            return invalid(fmt::format("key \"{}\" stands twice", field.key));
        Json value = TRY(convert(field.value));
        members.emplace_back(std::string(field.key), std::move(value));
    }
    return Json(std::move(members));
}

Result<Json> convert(const simdjson::dom::element& element) {
    switch (element.type()) {
        case simdjson::dom::element_type::NULL_VALUE: return Json();
        case simdjson::dom::element_type::BOOL: return Json(bool(element));
        case simdjson::dom::element_type::INT64: return Json(std::int64_t(element));
        case simdjson::dom::element_type::UINT64:
            return Json(static_cast<double>(std::uint64_t(element)));
        case simdjson::dom::element_type::DOUBLE: return Json(double(element));
        case simdjson::dom::element_type::STRING:
            return Json(std::string(std::string_view(element)));
        case simdjson::dom::element_type::OBJECT:
            return convert_object(simdjson::dom::object(element));
        case simdjson::dom::element_type::ARRAY: {
            Json::Array items;
            for (const simdjson::dom::element item : simdjson::dom::array(element)) {
                Json value = TRY(convert(item));
                items.push_back(std::move(value));
            }
            return Json(std::move(items));
        }
    }
    return corrupt("JSON of an unknown kind");
}

// Length of the UTF-8 sequence that starts here (RFC 3629), or 0 where there is none.
std::size_t utf8_length(std::string_view text) {
    const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const auto follows = [&](std::size_t i, unsigned least = 0x80, unsigned most = 0xbf) {
        return i < text.size() && at(i) >= least && at(i) <= most;
    };
    const unsigned first = at(0);
    if (first < 0x80) return 1;
    if (first >= 0xc2 && first <= 0xdf) return follows(1) ? 2 : 0;
    if (first >= 0xe0 && first <= 0xef) {
        const unsigned least = first == 0xe0 ? 0xa0 : 0x80;
        const unsigned most = first == 0xed ? 0x9f : 0xbf;
        return follows(1, least, most) && follows(2) ? 3 : 0;
    }
    if (first >= 0xf0 && first <= 0xf4) {
        const unsigned least = first == 0xf0 ? 0x90 : 0x80;
        const unsigned most = first == 0xf4 ? 0x8f : 0xbf;
        return follows(1, least, most) && follows(2) && follows(3) ? 4 : 0;
    }
    return 0;
}

void append_quoted(std::string& out, std::string_view text) {
    out += '"';
    while (!text.empty()) {
        const char c = text.front();
        const std::size_t length = utf8_length(text);
        if (length == 0) {
            out += "\xef\xbf\xbd";
            text.remove_prefix(1);
            continue;
        }
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (c == '\n') {
            out += "\\n";
        } else if (c == '\t') {
            out += "\\t";
        } else if (c == '\r') {
            out += "\\r";
        } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
            out += fmt::format("\\u{:04x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
        } else {
            out.append(text.substr(0, length));
        }
        text.remove_prefix(length);
    }
    out += '"';
}

Error missing(std::string_view key, std::string_view kind) {
    return invalid(fmt::format("\"{}\" must be {}", key, kind));
}

}  // namespace

const Json* Json::find(std::string_view key) const {
    const Object* members = object();
    if (members == nullptr) return nullptr;
    for (const Member& member : *members) {
        if (member.first == key) return &member.second;
    }
    return nullptr;
}

Result<std::string> Json::text_at(std::string_view key) const {
    const Json* found = find(key);
    if (found == nullptr || found->text() == nullptr) return missing(key, "a string");
    return *found->text();
}

Result<std::int64_t> Json::integer_at(std::string_view key) const {
    const Json* found = find(key);
    if (found == nullptr || found->integer() == nullptr) return missing(key, "a whole number");
    return *found->integer();
}

Result<bool> Json::boolean_at(std::string_view key) const {
    const Json* found = find(key);
    if (found == nullptr || found->boolean() == nullptr) return missing(key, "true or false");
    return *found->boolean();
}

Result<Json> parse_json(std::string_view text) {
    simdjson::dom::parser parser;
    const simdjson::error_code sized =
        parser.allocate(std::max<std::size_t>(text.size(), 64), kDepthMax);
    if (sized != simdjson::SUCCESS) return overload("JSON is too large to read");
    simdjson::dom::element root;
    const auto failure = parser.parse(text.data(), text.size()).get(root);
    if (failure != simdjson::SUCCESS)
        return invalid(fmt::format("not JSON: {}", simdjson::error_message(failure)));
    return convert(root);
}

void JsonWriter::before_value() {
    if (comma_) out_ += ',';
    comma_ = true;
}

JsonWriter& JsonWriter::open(char opener, char closer) {
    before_value();
    out_ += opener;
    closes_ += closer;
    comma_ = false;
    return *this;
}

JsonWriter& JsonWriter::close(char closer) {
    CHECK(!closes_.empty() && closes_.back() == closer);
    closes_.pop_back();
    out_ += closer;
    comma_ = true;
    return *this;
}

JsonWriter& JsonWriter::begin_object() { return open('{', '}'); }
JsonWriter& JsonWriter::end_object() { return close('}'); }
JsonWriter& JsonWriter::begin_array() { return open('[', ']'); }
JsonWriter& JsonWriter::end_array() { return close(']'); }

JsonWriter& JsonWriter::key(std::string_view name) {
    CHECK(!closes_.empty() && closes_.back() == '}');
    before_value();
    append_quoted(out_, name);
    out_ += ':';
    comma_ = false;
    return *this;
}

JsonWriter& JsonWriter::value(std::string_view text) {
    before_value();
    append_quoted(out_, text);
    return *this;
}

JsonWriter& JsonWriter::value(std::int64_t number) {
    before_value();
    out_ += std::to_string(number);
    return *this;
}

JsonWriter& JsonWriter::value(std::uint64_t number) {
    before_value();
    out_ += std::to_string(number);
    return *this;
}

JsonWriter& JsonWriter::value(double number) {
    if (!std::isfinite(number)) return null();
    before_value();
    out_ += fmt::format("{}", number);
    return *this;
}

JsonWriter& JsonWriter::value(bool truth) {
    before_value();
    out_ += truth ? "true" : "false";
    return *this;
}

JsonWriter& JsonWriter::null() {
    before_value();
    out_ += "null";
    return *this;
}

JsonWriter& JsonWriter::raw(std::string_view json) {
    before_value();
    out_.append(json);
    return *this;
}

std::string json_quoted(std::string_view text) {
    std::string out;
    append_quoted(out, text);
    return out;
}

}  // namespace thole
