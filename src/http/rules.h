// Why a message was refused: one rule each, with an id that stands in the answer, in logs and in
// counters ("H1-CL-DUP"). Deliberately not an Error: no text is built on the hot path. Rules hold
// for requests and responses alike; a refused response is always answered 502, and its connection
// is discarded. After any refusal the connection is closed; nothing more is read from it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace thole::http {

// The order is that of the table in rules.cpp. Counters may be indexed by it; ids never change.
enum class Rule : std::uint8_t {
    None,
    BareLf,
    BareCr,
    Control,
    HeadLong,
    FieldsMany,
    LineStart,
    Method,
    MethodTrace,
    MethodConnect,
    LineSpace,
    TargetLong,
    TargetByte,
    TargetForm,
    TargetNul,
    Version,
    VersionNumber,
    StatusLine,
    StatusCode,
    Fold,
    NoColon,
    NameEmpty,
    NameSpace,
    NameToken,
    NameTwin,
    HostMissing,
    HostTwice,
    HostValue,
    LengthTwice,
    LengthValue,
    LengthRange,
    CodingTwice,
    CodingValue,
    CodingUnknown,
    CodingAndLength,
    CodingInOld,
    ConnectionValue,
    ConnectionMany,
    UpgradeTwice,
    UpgradeUnasked,
    ExpectUnknown,
    ResetBody,
    ChunkSize,
    ChunkRange,
    ChunkLine,
    ChunkExtension,
    ChunkExtensionLong,
    Trailer,
    TrailerLong,
    BodyShort,
};
constexpr std::size_t kRuleCount = static_cast<std::size_t>(Rule::BodyShort) + 1;

struct RuleText {
    std::string_view id;      // "H1-CL-DUP"
    std::uint16_t status;     // What a client that broke it is answered.
    std::string_view reason;  // One line for people.
};

const RuleText& text_of(Rule rule);

}  // namespace thole::http
