#include "http/field_lines.h"

#include <algorithm>
#include <limits>

#include "http/grammar.h"

namespace thole::http {
namespace {

// 1*DIGIT, at most 19 of them, and a position in a stream must be able to hold it.
Rule read_length(std::string_view value, MessageHead& head, FieldFacts& facts) {
    if (facts.has_length) return Rule::LengthTwice;
    facts.has_length = true;
    if (value.empty() || !std::all_of(value.begin(), value.end(), is_digit)) {
        return Rule::LengthValue;
    }
    if (value.size() > 19) return Rule::LengthRange;
    std::uint64_t length = 0;  // 19 digits always fit.
    for (const char c : value) length = length * 10 + static_cast<std::uint64_t>(c - '0');
    if (length > std::numeric_limits<std::int64_t>::max()) return Rule::LengthRange;
    head.length = length;
    return Rule::None;
}

// A well-formed list of other codings is merely not supported; the rest is an attack.
bool is_coding_list(std::string_view value) {
    if (value.empty() || value.front() == ',' || value.back() == ',') return false;
    return std::all_of(value.begin(), value.end(), [](char c) {
        return is_token_byte(c) || is_blank(c) || c == ',' || c == ';' || c == '=' || c == '"';
    });
}

Rule read_coding(std::string_view value, FieldFacts& facts) {
    if (facts.has_coding) return Rule::CodingTwice;
    facts.has_coding = true;
    if (same_name(value, "chunked")) return Rule::None;
    return is_coding_list(value) ? Rule::CodingUnknown : Rule::CodingValue;
}

Rule read_connection(std::string_view value, MessageHead& head, FieldFacts& facts) {
    std::string_view element;
    while (next_element(value, element)) {
        if (!is_token(element)) return Rule::ConnectionValue;
        if (same_name(element, "close")) {
            facts.says_close = true;
        } else if (same_name(element, "keep-alive")) {
            facts.says_keep_alive = true;
        } else if (same_name(element, "upgrade")) {
            facts.says_upgrade = true;
        } else {
            if (head.listed_count == kListedMax) return Rule::ConnectionMany;
            head.listed[head.listed_count++] = element;
        }
    }
    return Rule::None;
}

// Fields that decide about the message itself.
Rule take_note(const Field& field, MessageHead& head, FieldFacts& facts) {
    switch (field.known) {
        case Known::ContentLength: return read_length(field.value, head, facts);
        case Known::TransferEncoding: return read_coding(field.value, facts);
        case Known::Connection: return read_connection(field.value, head, facts);
        case Known::Host:
            ++facts.hosts;
            facts.host = field.value;
            return Rule::None;
        case Known::Upgrade:
            ++facts.upgrades;
            facts.upgrade = field.value;
            return facts.upgrades > 1 ? Rule::UpgradeTwice : Rule::None;
        case Known::KeepAlive:
        case Known::Te:
        case Known::Trailer:
        case Known::Http2Settings:
        case Known::Proxy:
        case Known::Expect:
        case Known::Authorization:
        case Known::Forwarded:
        case Known::RequestId:
        case Known::Traceparent:
        case Known::Tracestate:
        case Known::RequestTimeout:
        case Known::GrpcTimeout:
        case Known::Attempt:
        case Known::Via:
        case Known::Other: return Rule::None;
    }
    return Rule::None;
}

Rule read_name(std::string_view line, std::string_view& name) {
    std::size_t end = 0;
    while (end < line.size() && is_token_byte(line[end])) ++end;
    name = line.substr(0, end);
    if (end == line.size()) return Rule::NoColon;
    if (line[end] == ':') return end == 0 ? Rule::NameEmpty : Rule::None;
    const std::size_t colon = line.find(':', end);
    if (colon == std::string_view::npos) return Rule::NoColon;
    const bool is_gap = trim(line.substr(end, colon - end)).empty();
    return is_gap ? Rule::NameSpace : Rule::NameToken;
}

// The line at `at`, without its CRLF. Where folding is kept it goes on over lines that begin with
// a blank.
std::string_view take_line(std::string_view lines, std::size_t& at, Folding folding) {
    const std::size_t begin = at;
    std::size_t end = lines.find('\r', at);
    while (folding == Folding::Kept && end + 2 < lines.size() && is_blank(lines[end + 2])) {
        end = lines.find('\r', end + 2);
    }
    at = end + 2;
    return lines.substr(begin, end - begin);
}

bool decides_framing(Known known) {
    return known == Known::ContentLength || known == Known::TransferEncoding ||
           known == Known::Connection || known == Known::Upgrade;
}

// Blanks and folds at both ends.
std::string_view trim_folds(std::string_view text) {
    const auto is_gap = [](char c) { return is_blank(c) || c == '\r' || c == '\n'; };
    while (!text.empty() && is_gap(text.front())) text.remove_prefix(1);
    while (!text.empty() && is_gap(text.back())) text.remove_suffix(1);
    return text;
}

}  // namespace

Rule parse_field_lines(std::string_view lines, Folding folding, MessageHead& head,
                       FieldFacts& facts) {
    std::size_t at = 0;
    while (at < lines.size()) {
        if (is_blank(lines[at])) return Rule::Fold;
        const std::string_view line = take_line(lines, at, folding);
        Field field;
        if (const Rule rule = read_name(line, field.name); rule != Rule::None) return rule;
        if (is_twin_of_trusted_name(field.name)) return Rule::NameTwin;
        field.value = trim(line.substr(field.name.size() + 1));
        field.known = known_name(field.name);
        if (folding == Folding::Kept && line.find('\r') != std::string_view::npos) {
            if (decides_framing(field.known)) return Rule::Fold;
            field.value = trim_folds(field.value);
            field.is_folded = field.value.find('\r') != std::string_view::npos;
        }
        if (const Rule rule = take_note(field, head, facts); rule != Rule::None) return rule;
        if (head.field_count == kFieldsMax) return Rule::FieldsMany;
        head.fields[head.field_count++] = field;
    }
    return Rule::None;
}

Rule conclude_framing(const FieldFacts& facts, MessageHead& head) {
    if (facts.has_coding && facts.has_length) return Rule::CodingAndLength;
    if (facts.has_coding && head.version_minor == 0) return Rule::CodingInOld;
    head.says_length = facts.has_length;
    head.framing = facts.has_coding   ? Framing::Chunked
                   : facts.has_length ? Framing::Length
                                      : Framing::None;
    head.keep_alive = !facts.says_close && (head.version_minor == 1 || facts.says_keep_alive);
    return Rule::None;
}

}  // namespace thole::http
