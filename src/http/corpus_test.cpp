// Requests and responses that others labelled, read where they lie: $THOLE_TEST_DATA, else
// ../shared/data beside the source. Skipped, and said so, where they are absent.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "http/body.h"
#include "http/emit.h"
#include "http/grammar.h"
#include "http/head.h"

namespace thole::http {
namespace {

std::filesystem::path corpus(std::string_view name) {
    const char* given = std::getenv("THOLE_TEST_DATA");
    const std::filesystem::path root =
        given != nullptr ? given : std::filesystem::path(THOLE_SOURCE_DIR) / ".." / "shared/data";
    return root / name;
}

std::vector<std::filesystem::path> files_of(const std::filesystem::path& folder,
                                            std::string_view suffix) {
    std::set<std::filesystem::path> found;
    if (!std::filesystem::is_directory(folder)) return {};
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
        if (entry.path().extension() == suffix) found.insert(entry.path());
    }
    return {found.begin(), found.end()};
}

std::vector<std::string> lines_of(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
}

// \r \n \t \f \xHH, and a backslash before any of `more`, which stands for itself. Other
// backslashes stay.
std::string unescaped(std::string_view text, std::string_view more) {
    static const std::map<char, char> kLetters = {
        {'r', '\r'}, {'n', '\n'}, {'t', '\t'}, {'f', '\f'}};
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '\\' || i + 1 == text.size()) {
            out += text[i];
        } else if (const auto found = kLetters.find(text[i + 1]); found != kLetters.end()) {
            out += found->second;
            ++i;
        } else if (text[i + 1] == 'x' && i + 3 < text.size() && hex_digit(text[i + 2]) >= 0) {
            out += static_cast<char>(hex_digit(text[i + 2]) * 16 + hex_digit(text[i + 3]));
            i += 3;
        } else {
            if (more.find(text[i + 1]) != more.npos) ++i;
            out += text[i];
        }
    }
    return out;
}

// ---- http-desync-guardian: YAML of one fixed shape ----

struct Labelled {
    std::string name, method, uri, version, tier;
    std::vector<std::pair<std::string, std::string>> fields;

    std::string text() const {
        std::string out = method + " " + uri + (version.empty() ? "" : " " + version) + "\r\n";
        bool has_host = false;
        for (const auto& [field, value] : fields) {
            has_host = has_host || same_name(field, "Host");
            out += field;
            out += ": " + value + "\r\n";
        }
        // They test framing and leave Host out; we refuse its absence by a rule of its own.
        if (!has_host) out += "Host: localhost\r\n";
        return out + "\r\n";
    }
};

std::string scalar(std::string_view text) {
    text = trim(text);
    if (text.size() >= 2 && text.front() == '"') {
        return unescaped(text.substr(1, text.size() - 2), "\"\\");
    }
    if (text.size() < 2 || text.front() != '\'') return std::string(text);
    std::string out;
    for (std::size_t i = 1; i + 1 < text.size(); ++i) {
        out += text[i];
        if (text[i] == '\'') ++i;
    }
    return out;
}

std::vector<Labelled> read_labelled(const std::filesystem::path& file) {
    std::vector<Labelled> all;
    for (const std::string& line : lines_of(file)) {
        const auto value_after = [&](std::string_view key) {
            return line.starts_with(key) ? std::optional(scalar(line.substr(key.size())))
                                         : std::nullopt;
        };
        if (const auto name = value_after("- name:")) all.emplace_back().name = *name;
        if (all.empty()) continue;
        Labelled& last = all.back();
        if (const auto uri = value_after("  uri:")) last.uri = *uri;
        if (const auto method = value_after("  method:")) last.method = *method;
        if (const auto version = value_after("  version:")) last.version = *version;
        if (const auto tier = value_after("    tier:")) last.tier = *tier;
        if (const auto field = value_after("    - name:")) last.fields.push_back({*field, ""});
        if (const auto value = value_after("      value:")) last.fields.back().second = *value;
    }
    return all;
}

// What we judge otherwise than the label says, and why.
const std::map<std::string, std::string> kAcceptedAnyway = {
    {"Get with a body and Content-Length", "one framing, written anew: no two parsers differ"},
    {"Get with a body and Transfer-Encoding", "one framing, written anew"},
    {"Head with a body and Content-Length", "one framing, written anew"},
    {"Head with a body and Transfer-Encoding", "one framing, written anew"},
    {"Has a CL in GET", "one framing, written anew"},
    {"Has a TE in GET", "one framing, written anew"},
};
const std::map<std::string, std::string> kRefusedAnyway = {
    {"Correct TE OK", "codings other than chunked are answered 501"},
    {"Transfer-Encoding: identity and chunked OK", "501; identity is no coding any more"},
    {"Multiple transfer encoding headers in a single request OK", "501, and two fields"},
    {"TE with custom parameters OK", "chunked has no parameters (9112 7.1)"},
    {"Different Transfer-Encoding headers", "501, and more than one field"},
    {"Different Transfer-Encoding headers combined", "501"},
    {"Transfer-Encoding with a param: chunked;custom_param", "501, and more than one field"},
    {"Compliant URL", "'#' never belongs to a target (9112 3.2)"},
    {"International in URI", "non-ASCII bytes never belong to a target (RFC 3986)"},
    {"Empty URI", "a request line has three words (9112 3)"},
};

std::string written(const RequestHead& head) {
    std::string room(2 * kHeadBytesMax, '\0');
    Edits edits;
    if (head.host.empty()) edits.host = "localhost";
    const auto size = emit_request_head(head, edits, room);
    room.resize(size.value_or(0));
    return room;
}

TEST(DesyncGuardian, AgreesWithTheLabelsButForAListedFew) {
    const auto files = files_of(corpus("http-desync-guardian"), ".yaml");
    if (files.empty()) GTEST_SKIP() << "no " << corpus("http-desync-guardian");
    std::set<std::string> otherwise;
    std::size_t count = 0;
    for (const auto& file : files) {
        for (const Labelled& one : read_labelled(file)) {
            ++count;
            const std::string where = file.stem().string() + ": " + one.name;
            const std::string text = one.text();
            RequestHead head;
            const HeadResult result = parse_request_head(text, head);
            const bool is_accepted = result.state == HeadState::Done && result.bytes == text.size();
            ASSERT_FALSE(one.tier.empty()) << where;
            const bool is_bad = one.tier == "Severe" || one.tier == "Ambiguous";
            if (is_accepted && is_bad) {
                EXPECT_TRUE(kAcceptedAnyway.contains(one.name)) << where << "\n" << text;
                otherwise.insert(one.name);
            }
            if (!is_accepted && one.tier == "Compliant") {
                EXPECT_TRUE(kRefusedAnyway.contains(one.name)) << where << "\n" << text;
                otherwise.insert(one.name);
            }
            if (is_accepted) {
                const std::string once = written(head);
                RequestHead again;
                ASSERT_EQ(parse_request_head(once, again).bytes, once.size()) << where;
                EXPECT_EQ(written(again), once) << where;
            }
        }
    }
    EXPECT_EQ(count, 159U);
    // Neither list may grow stale.
    EXPECT_EQ(otherwise.size(), kAcceptedAnyway.size() + kRefusedAnyway.size());
}

// ---- llhttp: Markdown with a request or response, and what their parser logs ----

struct Block {
    std::string name, type, text, log;
};

// As their fixture reads it: lines end in CRLF, the last line end is not part of the input, and a
// backslash at the end of a line joins it with the next.
std::string wire_text(const std::vector<std::string>& lines) {
    std::string out;
    for (std::size_t i = 0; i < lines.size(); ++i) {
        const bool is_joined = lines[i].ends_with('\\');
        out += unescaped(lines[i].substr(0, lines[i].size() - (is_joined ? 1 : 0)), "");
        if (!is_joined && i + 1 < lines.size()) out += "\r\n";
    }
    return out;
}

std::vector<Block> read_blocks(const std::filesystem::path& file) {
    std::vector<Block> blocks;
    std::vector<std::string>* into = nullptr;
    std::vector<std::string> text, log;
    std::string title, type;
    for (const std::string& line : lines_of(file)) {
        if (into != nullptr && line == "```") {
            if (into == &log) {
                std::string joined;
                for (const std::string& part : log) joined += part + "\n";
                blocks.push_back({title, type, wire_text(text), joined});
            }
            into = nullptr;
        } else if (into != nullptr) {
            into->push_back(line);
        } else if (line.starts_with("```")) {
            into = line == "```http" ? &text : &log;
            into->clear();
        } else if (line.starts_with("#")) {
            title = trim(line.substr(line.find_first_not_of('#')));
        } else if (const auto at = line.find("\"type\""); at != std::string::npos) {
            const auto open = line.find('"', line.find(':', at));
            type = line.substr(open + 1, line.find('"', open + 1) - open - 1);
            if (line.find("pause") != std::string::npos || line.find("skipBody") != line.npos) {
                type = "not for us";
            }
        }
    }
    return blocks;
}

enum class Verdict { Accepted, Refused, Unfinished };

struct Judged {
    Verdict verdict = Verdict::Unfinished;
    Rule rule = Rule::None;
};

Judged judge_body(const MessageHead& head, std::string_view& rest) {
    BodyDecoder body(head);
    while (!rest.empty() && body.state() == BodyState::NeedMore) {
        rest.remove_prefix(body.decode(rest).consumed);
        if (body.state() == BodyState::Bad) break;
    }
    if (head.framing == Framing::UntilClose) body.end_of_input();
    if (body.state() == BodyState::Bad) return {Verdict::Refused, body.rule()};
    if (body.state() == BodyState::NeedMore) return {Verdict::Unfinished, Rule::None};
    return {Verdict::Accepted, Rule::None};
}

// Message after message; what follows a closing one or a switch is never read.
template <typename Head, typename Parse>
Judged judge(std::string_view rest, Head& head, const Parse& parse) {
    Judged judged;
    while (!rest.empty()) {
        const HeadResult result = parse(rest, head);
        if (result.state == HeadState::Bad) return {Verdict::Refused, result.rule};
        if (result.state == HeadState::NeedMore) return {Verdict::Unfinished, Rule::None};
        rest.remove_prefix(result.bytes);
        judged = judge_body(head, rest);
        if (judged.verdict != Verdict::Accepted) return judged;
        if (!head.keep_alive || !head.upgrade.empty()) break;
    }
    return judged;
}

// Their requests mostly lack Host: put behind each request line where the block has none at all.
std::string with_hosts(std::string text) {
    for (const std::string_view name : {"\nHost:", "\nhost:", "\nHOST:"}) {
        if (text.find(name) != text.npos) return text;
    }
    for (const std::string_view end : {" HTTP/1.1\r\n", " HTTP/1.0\r\n"}) {
        std::size_t at = 0;
        while ((at = text.find(end, at)) != text.npos) {
            at += end.size();
            text.insert(at, "Host: localhost\r\n");
        }
    }
    return text;
}

Judged judge(const Block& block) {
    if (block.type == "request") {
        RequestHead head;
        return judge(with_hosts(block.text), head, parse_request_head);
    }
    ResponseHead head;
    return judge(block.text, head, [](std::string_view bytes, ResponseHead& into) {
        return parse_response_head(bytes, {.method = "GET", .upgrade = "websocket"}, into);
    });
}

const std::map<std::string, std::string> kAcceptedThoughTheyDoNot = {
    {"request: No restart when keep-alive is off (1.0)", "what follows a last request is dropped"},
    {"request: CRLF between requests, explicit `close`", "what follows is dropped"},
    {"request: CRLF between requests, explicit `close` followed by tab", "what follows is dropped"},
    {"request: Multiple tokens with folding and LWS", "they pause at an upgrade; no error"},
    {"request: Setting a flag and pausing", "they pause at an upgrade; no error"},
    {"request: Upgrade GET request", "they pause at an upgrade; no error"},
    {"request: HTTP protocol and ANNOUNCE method", "methods are tokens, not a list (9110 9.1)"},
    {"request: Invalid method", "methods are tokens, not a list"},
    {"response: HTTP/1.1 with keep-alive disabled and 204 status", "what follows is dropped"},
    {"response: HTTP/1.1 with keep-alive disabled, content-length", "what follows is dropped"},
};
const std::map<std::string, std::string> kRefusedThoughTheyDoNot = {
    {"request: CRLF between requests, implicit `keep-alive`", "one empty line is skipped, not two"},
    {"request: M-SEARCH request", "'*' is for OPTIONS (9112 3.2.4)"},
    {"request: SOURCE request with ICE", "not HTTP"},
    {"request: OPTIONS request with RTSP", "not HTTP"},
    {"request: ANNOUNCE request with RTSP", "not HTTP"},
    {"request: curl GET", "'=' in the host: see is_host"},
    {"request: Firefox GET", "'=' in the host: see is_host"},
    {"request: No HTTP version", "HTTP/0.9"},
    {"request: POST with `chunked` as last transfer-encoding", "a fragment in the target, and 501"},
    {"request: POST with `chunked` as last transfer-encoding (multiple headers)", "501"},
    {"request: Fragment in URI", "'#' never belongs to a target (9112 3.2)"},
    {"request: `host:port` and basic auth", "no user in an http target (9110 4.2.4)"},
    {"response: HTTP 304 with Content-Length", "an empty line before a response (9112 2.2)"},
    {"response: HTTP 100 first, then 400", "an empty line before a response"},
    {"response: Should parse multiple events", "an empty line before a response"},
    {"response: Response starting with CRLF", "an empty line before a response"},
    {"response: RTSP response", "not HTTP"},
    {"response: ICE response", "not HTTP"},
    {"response: HTTP version 0.9", "HTTP/0.9"},
    {"response: `chunked` before other transfer-encoding", "they read until close; 502"},
    {"response: multiple transfer-encoding where chunked is not the last one", "502, as above"},
    {"response: `chunkedchunked` transfer-encoding does not enable chunked enconding", "as above"},
};

TEST(Llhttp, AgreesInStrictModeButForAListedFew) {
    const auto files = files_of(corpus("llhttp"), ".md");
    if (files.empty()) GTEST_SKIP() << "no " << corpus("llhttp");
    std::set<std::string> otherwise;
    std::size_t count = 0;
    for (const auto& file : files) {
        for (const Block& block : read_blocks(file)) {
            if (block.type != "request" && block.type != "response") continue;
            ++count;
            const std::string where = block.type + ": " + block.name;
            const Judged judged = judge(block);
            const bool is_error = block.log.find("error code=") != block.log.npos;
            if (is_error && judged.verdict == Verdict::Accepted) {
                EXPECT_TRUE(kAcceptedThoughTheyDoNot.contains(where)) << where << "\n" << block.log;
                otherwise.insert(where);
            }
            if (!is_error && judged.verdict == Verdict::Refused) {
                EXPECT_TRUE(kRefusedThoughTheyDoNot.contains(where))
                    << where << "\n"
                    << text_of(judged.rule).id << "\n"
                    << block.text;
                otherwise.insert(where);
            }
        }
    }
    EXPECT_EQ(count, 184U);
    EXPECT_EQ(otherwise.size(), kAcceptedThoughTheyDoNot.size() + kRefusedThoughTheyDoNot.size());
}

}  // namespace
}  // namespace thole::http
