// Grammar, as accepted here (9112 2.1, 3, 4, 5):
//   request  = [CRLF] method SP target SP version CRLF *(field CRLF) CRLF
//   response = version SP 3DIGIT [SP reason] CRLF *(field [folds] CRLF) CRLF
//   field    = token ":" OWS value OWS
#include "http/head.h"

#include <algorithm>

#include "http/field_lines.h"
#include "http/grammar.h"

namespace thole::http {
namespace {

constexpr std::uint16_t kBadGateway = 502;

HeadResult bad_request(Rule rule) {
    return {.state = HeadState::Bad, .rule = rule, .status = text_of(rule).status};
}

HeadResult bad_response(Rule rule) {
    return {.state = HeadState::Bad, .rule = rule, .status = kBadGateway};
}

// The parts of a head whose end is known: its first line, and the other lines with their CRLFs.
struct Parts {
    std::string_view first;
    std::string_view lines;
};

Parts split(std::string_view head) {
    const std::size_t end = head.find('\r');
    if (end + 4 > head.size()) return {};  // Nothing but empty lines.
    return {head.substr(0, end), head.substr(end + 2, head.size() - end - 4)};
}

void reset(MessageHead& head) {
    head.field_count = 0;
    head.listed_count = 0;
    head.version_minor = 1;
    head.framing = Framing::None;
    head.length = 0;
    head.says_length = false;
    head.keep_alive = true;
    head.upgrade = {};
}

Rule read_version(std::string_view text, std::uint8_t& minor) {
    if (text == "HTTP/1.1" || text == "HTTP/1.0") {
        minor = text.back() == '1' ? 1 : 0;
        return Rule::None;
    }
    const bool is_other = text.size() == 8 && text.substr(0, 5) == "HTTP/" && is_digit(text[5]) &&
                          text[6] == '.' && is_digit(text[7]) && text[5] != '0';
    return is_other ? Rule::VersionNumber : Rule::Version;
}

Rule read_method(std::string_view line, std::string_view& method) {
    std::size_t end = 0;
    while (end < line.size() && is_token_byte(line[end])) ++end;
    if (line.empty() || is_blank(line.front())) return Rule::LineStart;
    if (end == 0 || end > kMethodBytesMax) return Rule::Method;
    if (end == line.size()) return Rule::LineSpace;
    if (line[end] != ' ') return Rule::Method;
    method = line.substr(0, end);
    return Rule::None;
}

// origin-form, absolute-form of http and https, or "*" for OPTIONS (9112 3.2).
Rule read_target(RequestHead& head) {
    const std::string_view target = head.target;
    for (const char c : target) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte <= 0x20 || byte >= 0x7f || c == '#') return Rule::TargetByte;
    }
    if (target.front() == '/') {
        head.path = target;
    } else if (target == "*") {
        if (head.method != "OPTIONS") return Rule::TargetForm;
        head.path = target;
    } else {
        const std::size_t scheme = has_prefix(target, "http://")    ? 7
                                   : has_prefix(target, "https://") ? 8
                                                                    : 0;
        if (scheme == 0) return Rule::TargetForm;
        const std::size_t end = std::min(target.find_first_of("/?", scheme), target.size());
        head.host = target.substr(scheme, end - scheme);
        head.path = target.substr(end);
        if (!is_host(head.host)) return Rule::HostValue;
        if (head.path.empty() && head.method == "OPTIONS") head.path = "*";  // 9112 3.2.4
    }
    const std::string_view path = head.path.substr(0, head.path.find('?'));
    return path.find("%00") != std::string_view::npos ? Rule::TargetNul : Rule::None;
}

Rule read_request_line(std::string_view line, RequestHead& head) {
    if (const Rule rule = read_method(line, head.method); rule != Rule::None) return rule;
    const std::string_view rest = line.substr(head.method.size() + 1);
    const std::size_t space = rest.find(' ');
    head.target = rest.substr(0, space);
    if (head.target.size() > kTargetBytesMax) return Rule::TargetLong;
    if (space == std::string_view::npos) return Rule::Version;  // HTTP/0.9
    const std::string_view version = rest.substr(space + 1);
    if (head.target.empty() || version.find(' ') != std::string_view::npos) return Rule::LineSpace;
    if (const Rule rule = read_version(version, head.version_minor); rule != Rule::None) {
        return rule;
    }
    if (head.method == "TRACE") return Rule::MethodTrace;
    if (head.method == "CONNECT") return Rule::MethodConnect;
    return read_target(head);
}

Rule conclude_host(const FieldFacts& facts, RequestHead& head) {
    if (facts.hosts > 1) return Rule::HostTwice;
    if (facts.hosts == 0) return head.version_minor == 1 ? Rule::HostMissing : Rule::None;
    if (!is_host(facts.host)) return Rule::HostValue;
    if (head.host.empty()) head.host = facts.host;  // Else the target's authority wins (3.2.2).
    return Rule::None;
}

// HTTP/1.0 knows no expectations: they are ignored there (9110 10.1.1).
Rule conclude_expect(RequestHead& head) {
    for (const Field& field : head.all()) {
        if (field.known != Known::Expect || head.version_minor == 0) continue;
        if (!same_name(field.value, "100-continue")) return Rule::ExpectUnknown;
        head.expect_continue = true;
    }
    return Rule::None;
}

Rule read_request(std::string_view text, RequestHead& head) {
    const Parts parts = split(text);
    FieldFacts facts;
    if (const Rule rule = read_request_line(parts.first, head); rule != Rule::None) return rule;
    if (const Rule rule = parse_field_lines(parts.lines, Folding::Refused, head, facts);
        rule != Rule::None) {
        return rule;
    }
    if (const Rule rule = conclude_framing(facts, head); rule != Rule::None) return rule;
    if (const Rule rule = conclude_host(facts, head); rule != Rule::None) return rule;
    const bool has_body =
        head.framing == Framing::Chunked || (head.framing == Framing::Length && head.length > 0);
    const bool may_upgrade = head.version_minor == 1 && head.method == "GET" && !has_body;
    if (facts.says_upgrade && may_upgrade) head.upgrade = facts.upgrade;
    return conclude_expect(head);
}

}  // namespace

namespace {

bool is_listed(std::string_view list, std::string_view wanted) {
    std::string_view element;
    while (next_element(list, element)) {
        if (same_name(element, wanted)) return true;
    }
    return false;
}

}  // namespace

std::string_view without_h2c(std::string_view upgrade, std::span<char> room) {
    if (!is_listed(upgrade, "h2c")) return upgrade;
    std::size_t size = 0;
    std::string_view protocol;
    while (next_element(upgrade, protocol)) {
        if (same_name(protocol, "h2c")) continue;
        const std::string_view separator = size > 0 ? ", " : "";
        if (separator.size() + protocol.size() > room.size() - size) return {};
        for (const std::string_view part : {separator, protocol}) {
            std::copy(part.begin(), part.end(), room.begin() + static_cast<std::ptrdiff_t>(size));
            size += part.size();
        }
    }
    return {room.data(), size};
}

namespace {

Rule read_status_line(std::string_view line, ResponseHead& head) {
    if (line.size() < 12 || line[8] != ' ') return Rule::StatusLine;
    if (const Rule rule = read_version(line.substr(0, 8), head.version_minor); rule != Rule::None) {
        return rule;
    }
    unsigned status = 0;
    for (const char c : line.substr(9, 3)) {
        if (!is_digit(c)) return Rule::StatusCode;
        status = status * 10 + static_cast<unsigned>(c - '0');
    }
    if (status < 100 || status > 599) return Rule::StatusCode;
    head.status = static_cast<std::uint16_t>(status);
    // Many servers leave out the space where they give no reason.
    if (line.size() > 12 && line[12] != ' ') return Rule::StatusLine;
    head.reason = line.size() > 13 ? line.substr(13) : std::string_view();
    return Rule::None;
}

// To one of those that were asked for, or to several, one above the other (9110 7.8).
Rule conclude_switch(const FieldFacts& facts, const Asked& asked, ResponseHead& head) {
    std::string_view left = facts.upgrade;
    std::string_view protocol;
    bool is_as_asked = false;
    while (next_element(left, protocol)) {
        is_as_asked = is_listed(asked.upgrade, protocol);
        if (!is_as_asked) break;
    }
    if (!is_as_asked || !facts.says_upgrade) return Rule::UpgradeUnasked;
    head.upgrade = facts.upgrade;
    return Rule::None;
}

// 9112 6.3, in its order.
Rule conclude_response_framing(const Asked& asked, ResponseHead& head) {
    if (head.status < 200 || head.status == 204) {
        head.framing = Framing::None;
        head.says_length = false;
        head.length = 0;
        return Rule::None;
    }
    if (asked.method == "HEAD" || head.status == 304) {
        head.framing = Framing::None;
        return Rule::None;
    }
    if (head.status == 205) {
        if (head.framing == Framing::Length && head.length > 0) return Rule::ResetBody;
        // It has no body (9110 15.3.6), which the next one has to be told. Where its sender ends it
        // by a chunk or the connection's end, what comes is not looked at.
        if (head.framing != Framing::Length) head.keep_alive = false;
        head.framing = Framing::Length;
        head.length = 0;
        head.says_length = true;
        return Rule::None;
    }
    if (head.framing == Framing::None) {
        head.framing = Framing::UntilClose;
        head.keep_alive = false;
    }
    return Rule::None;
}

Rule read_response(std::string_view text, const Asked& asked, ResponseHead& head) {
    const Parts parts = split(text);
    FieldFacts facts;
    if (const Rule rule = read_status_line(parts.first, head); rule != Rule::None) return rule;
    if (const Rule rule = parse_field_lines(parts.lines, Folding::Kept, head, facts);
        rule != Rule::None) {
        return rule;
    }
    if (const Rule rule = conclude_framing(facts, head); rule != Rule::None) return rule;
    if (head.status == 101) {
        if (const Rule rule = conclude_switch(facts, asked, head); rule != Rule::None) return rule;
    }
    return conclude_response_framing(asked, head);
}

}  // namespace

const Field* MessageHead::find(Known known) const {
    for (const Field& field : all()) {
        if (field.known == known) return &field;
    }
    return nullptr;
}

const Field* MessageHead::find(std::string_view name) const {
    for (const Field& field : all()) {
        if (same_name(field.name, name)) return &field;
    }
    return nullptr;
}

HeadResult parse_request_head(std::string_view bytes, RequestHead& head) {
    const std::size_t begin = bytes.substr(0, 2) == "\r\n" ? 2 : 0;
    HeadResult end = find_head_end(bytes, 0);
    if (end.state == HeadState::Bad && end.rule == Rule::HeadLong) {
        // A target that alone is too long has an answer of its own.
        const std::size_t line = bytes.find('\r', begin);
        const std::size_t most = kTargetBytesMax + kMethodBytesMax;
        return bad_request(line == std::string_view::npos || line > begin + most ? Rule::TargetLong
                                                                                 : Rule::HeadLong);
    }
    if (end.state != HeadState::Done) return end;
    reset(head);
    head.host = head.path = head.method = head.target = {};
    head.expect_continue = false;
    const std::string_view text = bytes.substr(begin, end.bytes - begin);
    const Rule rule = read_request(text, head);
    return rule == Rule::None ? end : bad_request(rule);
}

HeadResult parse_response_head(std::string_view bytes, const Asked& asked, ResponseHead& head) {
    const HeadResult end = find_head_end(bytes, 0);
    if (end.state == HeadState::Bad) return bad_response(end.rule);
    if (end.state != HeadState::Done) return end;
    reset(head);
    head.status = 0;
    head.reason = {};
    const Rule rule = read_response(bytes.substr(0, end.bytes), asked, head);
    return rule == Rule::None ? end : bad_response(rule);
}

}  // namespace thole::http
