#include "http/rules.h"

#include <array>

#include "base/check.h"

namespace thole::http {
namespace {

// Numbers are sections of RFC 9110 and RFC 9112; where they only permit refusing, we refuse.
constexpr std::array<RuleText, kRuleCount> kTexts = {{
    {"H1-NONE", 200, "nothing is wrong"},
    {"H1-LF", 400, "a line ends in LF without CR (9112 2.2)"},
    {"H1-CR", 400, "a CR is not followed by LF (9112 2.2)"},
    {"H1-CTL", 400, "a control character in the head (9110 5.5)"},
    {"H1-HEAD-LONG", 431, "the head is longer than 32 KiB"},
    {"H1-FIELDS-MANY", 431, "more than 100 fields"},
    {"H1-LINE-START", 400, "the first line is empty or begins with a blank (9112 2.2)"},
    {"H1-METHOD", 400, "the method is not a token of at most 32 bytes (9110 9.1)"},
    {"H1-TRACE", 405, "TRACE is not allowed"},
    {"H1-CONNECT", 501, "CONNECT is not supported"},
    {"H1-LINE-SPACE", 400, "the request line is not three words with one space between (9112 3)"},
    {"H1-TARGET-LONG", 414, "the target is longer than 8 KiB"},
    {"H1-TARGET-BYTE", 400, "a blank, '#' or non-ASCII byte in the target (9112 3.2)"},
    {"H1-TARGET-FORM", 400, "the target is neither a path nor an http URI (9112 3.2)"},
    {"H1-TARGET-NUL", 400, "an encoded NUL in the path"},
    {"H1-VERSION", 400, "the version is not HTTP/1.0 or HTTP/1.1 (9112 2.3)"},
    {"H1-VERSION-NUMBER", 505, "this version of HTTP is not spoken here"},
    {"H1-STATUS-LINE", 502, "the status line is malformed (9112 4)"},
    {"H1-STATUS", 502, "the status is not a number from 100 to 599 (9110 15)"},
    {"H1-FOLD", 400, "a field goes on in the next line (9112 5.2)"},
    {"H1-COLON", 400, "a line without a colon (9112 5)"},
    {"H1-NAME-EMPTY", 400, "a field without a name (9112 5)"},
    {"H1-NAME-SPACE", 400, "a blank before the colon (9112 5.1)"},
    {"H1-NAME", 400, "the name of a field is not a token (9110 5.1)"},
    {"H1-NAME-TWIN", 400, "the name reads as a framing or trust field to some parsers"},
    {"H1-HOST-MISSING", 400, "no Host in HTTP/1.1 (9112 3.2)"},
    {"H1-HOST-DUP", 400, "more than one Host (9112 3.2)"},
    {"H1-HOST", 400, "the host is not a name or address with an optional port (9110 7.2)"},
    {"H1-CL-DUP", 400, "more than one Content-Length (9112 6.3)"},
    {"H1-CL", 400, "Content-Length is not a plain decimal number (9110 8.6)"},
    {"H1-CL-RANGE", 400, "Content-Length is too large (9110 8.6)"},
    {"H1-TE-DUP", 400, "more than one Transfer-Encoding (9112 6.1)"},
    {"H1-TE", 400, "Transfer-Encoding is malformed (9112 6.1)"},
    {"H1-TE-CODING", 501, "a transfer coding other than chunked (9112 6.1)"},
    {"H1-TE-CL", 400, "Transfer-Encoding together with Content-Length (9112 6.3)"},
    {"H1-TE-10", 400, "Transfer-Encoding in HTTP/1.0 (9112 6.1)"},
    {"H1-CONN", 400, "Connection is not a list of tokens (9110 7.6.1)"},
    {"H1-CONN-MANY", 400, "Connection lists more than 16 names"},
    {"H1-UPGRADE-DUP", 400, "more than one Upgrade"},
    {"H1-101", 502, "the protocol is switched, but not as asked (9110 15.2.2)"},
    {"H1-EXPECT", 417, "an expectation other than 100-continue (9110 10.1.1)"},
    {"H1-205-BODY", 502, "a 205 has a body (9110 15.3.6)"},
    {"H1-CHUNK-SIZE", 400, "a chunk's size is not 1 to 16 hexadecimal digits (9112 7.1)"},
    {"H1-CHUNK-RANGE", 400, "a chunk's size is too large (9112 7.1)"},
    {"H1-CHUNK-CRLF", 400, "a chunk's line or data does not end in CRLF (9112 7.1)"},
    {"H1-CHUNK-EXT", 400, "a chunk extension is malformed (9112 7.1.1)"},
    {"H1-CHUNK-EXT-LONG", 400, "more than 1 KiB of chunk extensions"},
    {"H1-TRAILER", 400, "a trailer field is malformed (9112 7.1.2)"},
    {"H1-TRAILER-LONG", 431, "more than 8 KiB of trailers"},
    {"H1-BODY-SHORT", 400, "the connection ended before the message did (9112 8)"},
}};

}  // namespace

const RuleText& text_of(Rule rule) {
    const auto index = static_cast<std::size_t>(rule);
    CHECK(index < kTexts.size());
    return kTexts[index];
}

}  // namespace thole::http
