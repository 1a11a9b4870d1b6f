#include "http/mend.h"

#include <algorithm>
#include <cstring>

#include "http/grammar.h"

namespace thole::http {
namespace {

constexpr std::string_view kLineEnd = "\r\n";

HeadResult unbent(Rule rule) {
    return {.state = HeadState::Bad, .rule = rule, .status = text_of(rule).status};
}

bool is_control(char c) { return !is_value_byte(c); }

// Goes on counting nothing once something did not fit.
class Copy {
public:
    explicit Copy(std::span<char> to) : to_(to) {}

    void put(std::string_view text) {
        fits_ = fits_ && text.size() <= to_.size() - size_;
        if (!fits_) return;
        std::copy(text.begin(), text.end(), to_.begin() + static_cast<std::ptrdiff_t>(size_));
        size_ += text.size();
    }
    void put(char c) { put(std::string_view(&c, 1)); }
    void put_escaped(char c) {
        static constexpr char kDigits[] = "0123456789ABCDEF";
        const auto byte = static_cast<unsigned char>(c);
        const char escape[] = {'%', kDigits[byte >> 4], kDigits[byte & 15]};
        put({escape, sizeof(escape)});
    }
    void put_line(std::string_view line) {
        put(line);
        put(kLineEnd);
    }
    bool fits() const { return fits_; }
    std::string_view text() const { return {to_.data(), size_}; }

private:
    std::span<char> to_;
    std::size_t size_ = 0;
    bool fits_ = true;
};

// As find_head_end, but controls other than CR, LF and NUL may stand behind the first line.
HeadResult find_end(std::string_view bytes) {
    const std::size_t most = std::min(bytes.size(), kHeadBytesMax);
    bool is_first = true;
    for (std::size_t at = 0, line = 0; at < most; ++at) {
        const char c = bytes[at];
        if (c == '\r') {
            if (at + 1 == most) break;
            if (bytes[at + 1] != '\n') return unbent(Rule::BareCr);
            if (at == line && at > 0) return {.state = HeadState::Done, .bytes = at + 2};
            is_first = at == 0;  // An empty line before the request is skipped.
            line = at + 2;
            ++at;
        } else if (c == '\n') {
            return unbent(Rule::BareLf);
        } else if (is_control(c) && (is_first || c == '\0')) {
            return unbent(Rule::Control);
        }
    }
    return most == kHeadBytesMax ? unbent(Rule::HeadLong) : HeadResult{};
}

bool begins_version(std::string_view word) { return has_prefix(word, "http/"); }

// Blanks within a query alone, one at a time, with nothing behind that may be a version: then every
// reader that takes the line at all has the same path, and where it ends is seen by all.
bool may_have_blanks(std::string_view target) {
    const std::size_t first = target.find(' ');
    if (first == target.npos) return true;
    if (target.find('?') > first || target.back() == ' ') return false;
    for (std::size_t at = first; at != target.npos; at = target.find(' ', at + 1)) {
        const std::string_view behind = target.substr(at + 1);
        if (behind.front() == ' ' || begins_version(behind)) return false;
    }
    return true;
}

void put_target(std::string_view target, Copy& copy, RuleSet& broken) {
    if (const std::size_t fragment = target.find('#'); fragment != target.npos) {
        broken.add(Rule::TargetByte);
        target = target.substr(0, fragment);
    }
    for (const char c : target) {
        const bool is_foreign = static_cast<unsigned char>(c) >= 0x80;
        if (is_foreign) broken.add(Rule::TargetByte);
        if (c == ' ') broken.add(Rule::LineSpace);
        if (is_foreign || c == ' ') {
            copy.put_escaped(c);
        } else {
            copy.put(c);
        }
    }
}

// A later minor version is read as the last one we know (9110 2.5); HTTP/0.9 as 1.0, which only a
// request without any body may be.
std::string_view mend_version(std::string_view version, RuleSet& broken) {
    if (version.empty() || version == "HTTP/0.9") {
        broken.add(Rule::Version);
        return "HTTP/1.0";
    }
    if (version.size() == 8 && version.substr(0, 7) == "HTTP/1." && version[7] >= '2' &&
        version[7] <= '9') {
        broken.add(Rule::VersionNumber);
        return "HTTP/1.1";
    }
    return version;
}

// Where nothing is to be mended, or it cannot be, the line stays as it came.
void put_request_line(std::string_view line, Copy& copy, RuleSet& broken) {
    const std::size_t space = line.find(' ');
    if (space == 0 || space == line.npos) return copy.put_line(line);
    std::string_view rest = line.substr(space + 1);
    RuleSet bent = broken;
    while (!rest.empty() && rest.back() == ' ') {
        rest.remove_suffix(1);
        bent.add(Rule::LineSpace);
    }
    const std::size_t last = rest.rfind(' ');
    const bool has_version = last != rest.npos && begins_version(rest.substr(last + 1));
    const std::string_view version = has_version ? rest.substr(last + 1) : std::string_view();
    std::string_view target = has_version ? rest.substr(0, last) : rest;
    // "GET  HTTP/1.1": two blanks and nothing between.
    if (has_version && target.empty()) {
        bent.add(Rule::LineSpace);
        target = "/";
    }
    // What stands before a '#' in an authority is not the host to everybody.
    const bool has_one_host = target.find('#') == target.npos || target.front() == '/';
    const bool is_plain = !target.empty() && has_one_host && may_have_blanks(target) &&
                          (has_version || target.find(' ') == target.npos);
    if (!is_plain) return copy.put_line(line);
    copy.put(line.substr(0, space + 1));
    put_target(target, copy, bent);
    copy.put(' ');
    copy.put_line(mend_version(version, bent));
    broken = bent;
}

// "gzip" of "gzip ; a=b", empty where it is none that is registered, or is malformed.
std::string_view coding_in(std::string_view element) {
    const std::string_view name = trim(element.substr(0, element.find(';')));
    for (const char c : element.substr(name.size())) {
        if (!is_token_byte(c) && !is_blank(c) && c != ';' && c != '=') return {};
    }
    for (const std::string_view known :
         {"chunked", "identity", "gzip", "x-gzip", "deflate", "compress", "x-compress"}) {
        if (same_name(name, known)) return known;
    }
    return {};
}

// All Transfer-Encoding fields as one list (9110 5.3).
struct Codings {
    std::uint32_t fields = 0;
    std::uint32_t plain = 0;  // That say "chunked" alone.
    bool is_known = true;     // Of registered codings, chunked once, and last (9112 6.1).
    bool is_chunked = false;

    void read(std::string_view value) {
        ++fields;
        if (same_name(value, "chunked")) ++plain;
        for (;;) {
            const std::size_t comma = value.find(',');
            const std::string_view name = coding_in(trim(value.substr(0, comma)));
            is_known = is_known && !name.empty() && !is_chunked;
            is_chunked = is_chunked || name == "chunked";
            if (comma == value.npos) return;
            value = value.substr(comma + 1);
        }
    }
    bool is_strict() const { return fields == 1 && plain == 1; }
    bool may_be_mended() const { return fields > 0 && !is_strict() && is_known && is_chunked; }
};

struct Line {
    std::string_view all;
    std::string_view name;  // Up to the colon; empty where there is none.
    std::string_view value;
};

// Takes the next line off.
Line take_line(std::string_view& lines) {
    const std::size_t end = lines.find('\r');
    Line line{lines.substr(0, end), {}, {}};
    lines.remove_prefix(end + kLineEnd.size());
    const std::size_t colon = line.all.find(':');
    if (colon == line.all.npos || is_blank(line.all.front())) return line;
    line.name = line.all.substr(0, colon);
    line.value = trim(line.all.substr(colon + 1));
    return line;
}

class Fields {
public:
    Fields(Copy& copy, RuleSet& broken) : copy_(copy), broken_(broken) {}

    // None, or the rule that cannot be bent.
    Rule put_all(std::string_view lines) {
        for (std::string_view left = lines; !left.empty();) {
            const Line line = take_line(left);
            if (known_name(line.name) == Known::TransferEncoding) codings_.read(line.value);
        }
        for (std::string_view left = lines; !left.empty();) {
            if (const Rule rule = put(take_line(left)); rule != Rule::None) return rule;
        }
        if (codings_.may_be_mended()) put_codings(lines);
        return Rule::None;
    }

private:
    Rule put(const Line& line) {
        if (line.name.empty()) {  // Folded, without a colon or a name: the strict parser says it.
            const bool has_control = std::any_of(line.all.begin(), line.all.end(), is_control);
            if (has_control) return Rule::Control;
            copy_.put_line(line.all);
            return Rule::None;
        }
        if (!is_token(line.name)) return put_odd_name(line);
        return put_named(line.name, line);
    }

    Rule put_odd_name(const Line& line) {
        const std::string_view name = trim_end(line.name);
        const bool has_control = std::any_of(name.begin(), name.end(), is_control);
        const Rule rule = has_control      ? Rule::Control
                          : is_token(name) ? Rule::NameSpace
                                           : Rule::NameToken;
        if (reads_as_known(name)) return rule;
        if (is_token(name)) {
            broken_.add(rule);
            return put_named(name, line);
        }
        const auto is_odd = [](char c) { return !is_token_byte(c) && !is_control(c); };
        if (!has_control || std::any_of(name.begin(), name.end(), is_odd)) return rule;
        broken_.add(rule);  // It has no name that could be written: the field is left out.
        return Rule::None;
    }

    Rule put_named(std::string_view name, const Line& line) {
        const Known known = known_name(name);
        if (is_twin_of_trusted_name(name)) {
            const Known twin = known_as_read(name);
            if (twin != Known::Forwarded && twin != Known::RequestId) return Rule::NameTwin;
            broken_.add(Rule::NameTwin);
            return Rule::None;
        }
        const bool has_control = std::any_of(line.value.begin(), line.value.end(), is_control);
        if (has_control && known != Known::Other) return Rule::Control;
        if (known == Known::TransferEncoding && codings_.may_be_mended()) return Rule::None;
        if (known == Known::ContentLength) {
            if (has_length_ && length_ == line.value) {
                broken_.add(Rule::LengthTwice);
                return Rule::None;
            }
            has_length_ = true;
            length_ = line.value;
        }
        if (has_control) broken_.add(Rule::Control);
        copy_.put(name);
        copy_.put(": ");
        for (const char c : line.value) copy_.put(is_control(c) ? ' ' : c);
        copy_.put(kLineEnd);
        return Rule::None;
    }

    // What was done to the body before it was put into chunks is said of its content instead: the
    // same bytes, undone in the same order.
    void put_codings(std::string_view lines) {
        broken_.add(codings_.fields > 1 ? Rule::CodingTwice : Rule::CodingUnknown);
        std::string_view separator = "Content-Encoding: ";
        while (!lines.empty()) {
            const Line line = take_line(lines);
            if (known_name(line.name) != Known::TransferEncoding) continue;
            std::string_view list = line.value;
            std::string_view element;
            while (next_element(list, element)) {
                const std::string_view name = coding_in(element);
                if (name == "chunked" || name == "identity") continue;
                copy_.put(separator);
                copy_.put(name);
                separator = ", ";
            }
        }
        if (separator == ", ") copy_.put(kLineEnd);
        copy_.put_line("Transfer-Encoding: chunked");
    }

    static std::string_view trim_end(std::string_view text) {
        while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
        return text;
    }

    // Whether some reader, which skips what is no part of a name, would take it for one that
    // decides.
    static bool reads_as_known(std::string_view name) {
        char kept[64];
        std::size_t size = 0;
        for (const char c : name) {
            if (!is_token_byte(c)) continue;
            if (size == sizeof(kept)) return false;  // Longer than all of them.
            kept[size++] = c;
        }
        return size == 0 || known_as_read({kept, size}) != Known::Other;
    }

    Copy& copy_;
    RuleSet& broken_;
    Codings codings_;
    bool has_length_ = false;
    std::string_view length_;
};

}  // namespace

HeadResult mend_request_head(std::string_view bytes, std::span<char> room, RequestHead& head,
                             RuleSet& broken) {
    broken = {};
    HeadResult end = find_end(bytes);
    if (end.state != HeadState::Done) return end;
    const std::size_t begin = bytes.substr(0, 2) == kLineEnd ? 2 : 0;
    std::string_view lines = bytes.substr(begin, end.bytes - begin - kLineEnd.size());
    if (lines.empty()) return unbent(Rule::LineStart);
    const std::size_t first = lines.find('\r');
    Copy copy(room);
    put_request_line(lines.substr(0, first), copy, broken);
    lines.remove_prefix(first + kLineEnd.size());
    if (const Rule rule = Fields(copy, broken).put_all(lines); rule != Rule::None)
        return unbent(rule);
    copy.put(kLineEnd);
    if (!copy.fits()) return unbent(Rule::HeadLong);
    const HeadResult strict = parse_request_head(copy.text(), head);
    if (strict.state == HeadState::Bad) return strict;
    if (strict.state != HeadState::Done || strict.bytes != copy.text().size())
        return unbent(Rule::LineStart);
    if (broken.has(Rule::Version)) {
        // HTTP/0.9 has one method and no body (9112 3, appendix A); its connection ends.
        if (head.method != "GET" || head.framing != Framing::None || head.says_length)
            return unbent(Rule::Version);
        head.keep_alive = false;
    }
    return end;
}

}  // namespace thole::http
