// Grammar, as accepted here (9112 7.1):
//   chunked  = *(1*16HEXDIG [ext] CRLF data CRLF) 1*16"0" [ext] CRLF *(token ":" value CRLF) CRLF
//   ext      = *(BWS ";" BWS token [BWS "=" BWS (token / quoted-string)])
// A blank after the size that no ";" follows is refused, and so is a blank after the last
// extension: parsers differ on both.
#include "http/body.h"

#include <algorithm>

#include "http/grammar.h"

namespace thole::http {

BodyDecoder::BodyDecoder(Framing framing, std::uint64_t length) {
    switch (framing) {
        case Framing::None: step_ = Step::Done; break;
        case Framing::Length:
            left_ = length;
            step_ = length == 0 ? Step::Done : Step::Length;
            break;
        case Framing::Chunked: step_ = Step::Size; break;
        case Framing::UntilClose: step_ = Step::UntilClose; break;
    }
}

BodyState BodyDecoder::state() const {
    if (step_ == Step::Done) return BodyState::Done;
    return step_ == Step::Bad ? BodyState::Bad : BodyState::NeedMore;
}

BodyState BodyDecoder::end_of_input() {
    if (step_ == Step::UntilClose) step_ = Step::Done;
    if (state() == BodyState::NeedMore) refuse(Rule::BodyShort);
    return state();
}

void BodyDecoder::refuse(Rule rule) {
    step_ = Step::Bad;
    rule_ = rule;
}

bool BodyDecoder::is_bulk() const {
    return step_ == Step::Data || step_ == Step::Length || step_ == Step::UntilClose;
}

// Payload: how much of `size` bytes.
std::size_t BodyDecoder::take_bulk(std::size_t size) {
    if (step_ == Step::UntilClose) return size;
    const std::size_t taken = left_ < size ? static_cast<std::size_t>(left_) : size;
    left_ -= taken;
    if (left_ == 0) step_ = step_ == Step::Data ? Step::DataCr : Step::Done;
    return taken;
}

Fed BodyDecoder::decode(std::string_view bytes) {
    Fed fed;
    while (fed.consumed < bytes.size() && state() == BodyState::NeedMore) {
        if (is_bulk()) {
            const std::size_t taken = take_bulk(bytes.size() - fed.consumed);
            fed.piece = bytes.substr(fed.consumed, taken);
            fed.consumed += taken;
            break;
        }
        step(bytes[fed.consumed]);
        if (state() != BodyState::Bad) ++fed.consumed;
    }
    fed.state = state();
    return fed;
}

Fed BodyDecoder::pass(std::string_view bytes) {
    Fed fed;
    bool is_kept = true;  // What is consumed now: one run, up to where that changes.
    while (fed.consumed < bytes.size() && state() == BodyState::NeedMore) {
        if (is_bulk()) {
            if (fed.consumed > 0 && !is_kept) break;
            is_kept = true;
            fed.consumed += take_bulk(bytes.size() - fed.consumed);
            continue;
        }
        const BodyDecoder before = *this;
        const bool is_next_kept = step(bytes[fed.consumed]) && !leaves_out_framing();
        if (state() == BodyState::Bad) break;
        if (fed.consumed > 0 && is_next_kept != is_kept) {
            *this = before;
            break;
        }
        is_kept = is_next_kept;
        ++fed.consumed;
    }
    if (is_kept) fed.piece = bytes.substr(0, fed.consumed);
    fed.state = state();
    return fed;
}

// Framing, byte by byte. Returns whether the byte belongs to the canonical form.
bool BodyDecoder::step(char c) {
    switch (step_) {
        case Step::Size: step_size(c); return step_ == Step::Size || step_ == Step::SizeLf;
        case Step::GapAfterSize:
        case Step::BeforeName:
        case Step::Name:
        case Step::GapAfterName:
        case Step::BeforeValue:
        case Step::Value:
        case Step::Quoted:
        case Step::Escaped:
        case Step::AfterQuoted:
        case Step::GapAfterValue: step_extension(c); return step_ == Step::SizeLf;
        case Step::SizeLf:
        case Step::DataCr:
        case Step::DataLf: step_after_data(c); return true;
        case Step::TrailerStart:
        case Step::TrailerName:
        case Step::TrailerValue:
        case Step::TrailerLf:
        case Step::EndLf: step_trailer(c); return step_ == Step::EndLf || step_ == Step::Done;
        case Step::Data:
        case Step::Length:
        case Step::UntilClose:
        case Step::Done:
        case Step::Bad: return true;
    }
    return true;
}

void BodyDecoder::step_size(char c) {
    const int digit = hex_digit(c);
    if (digit >= 0) {
        if (++digits_ > 16) return refuse(Rule::ChunkSize);
        if (left_ > kChunkBytesMax >> 4) return refuse(Rule::ChunkRange);
        left_ = left_ * 16 + static_cast<std::uint64_t>(digit);
        return;
    }
    if (digits_ == 0) return refuse(Rule::ChunkSize);
    if (c == '\r') {
        step_ = Step::SizeLf;
    } else if (c == ';' || is_blank(c)) {
        step_ = Step::GapAfterSize;
        step_extension(c);
    } else {
        refuse(c == '\n' ? Rule::ChunkLine : Rule::ChunkSize);
    }
}

void BodyDecoder::step_extension(char c) {
    is_canonical_ = 0;
    const bool may_end = step_ == Step::Name || step_ == Step::Value || step_ == Step::AfterQuoted;
    if (c == '\r' && may_end) {
        step_ = Step::SizeLf;
        return;
    }
    if (++extension_bytes_ > kExtensionBytesMax) return refuse(Rule::ChunkExtensionLong);
    Step next = Step::Bad;
    if (step_ == Step::Quoted) {
        next = c == '"' ? Step::AfterQuoted : c == '\\' ? Step::Escaped : Step::Quoted;
        if (!is_value_byte(c)) next = Step::Bad;
    } else if (step_ == Step::Escaped) {
        next = is_value_byte(c) ? Step::Quoted : Step::Bad;
    } else if (is_blank(c)) {
        // A gap stays one; after a word one begins.
        next = step_ == Step::Name                                  ? Step::GapAfterName
               : step_ == Step::Value || step_ == Step::AfterQuoted ? Step::GapAfterValue
                                                                    : step_;
    } else if (c == ';') {
        const bool is_word_missing = step_ == Step::BeforeName || step_ == Step::BeforeValue;
        next = is_word_missing ? Step::Bad : Step::BeforeName;
    } else if (c == '=') {
        next = step_ == Step::Name || step_ == Step::GapAfterName ? Step::BeforeValue : Step::Bad;
    } else if (c == '"') {
        next = step_ == Step::BeforeValue ? Step::Quoted : Step::Bad;
    } else if (is_token_byte(c)) {
        if (step_ == Step::BeforeName || step_ == Step::Name) next = Step::Name;
        if (step_ == Step::BeforeValue || step_ == Step::Value) next = Step::Value;
    }
    if (next == Step::Bad) { return refuse(c == '\n' ? Rule::ChunkLine : Rule::ChunkExtension); }
    step_ = next;
}

// The LF of a size's line, and CRLF after data.
void BodyDecoder::step_after_data(char c) {
    if (c != (step_ == Step::DataCr ? '\r' : '\n')) return refuse(Rule::ChunkLine);
    if (step_ == Step::SizeLf) {
        step_ = left_ == 0 ? Step::TrailerStart : Step::Data;
    } else if (step_ == Step::DataCr) {
        step_ = Step::DataLf;
    } else {
        step_ = Step::Size;
        digits_ = 0;
    }
}

void BodyDecoder::step_trailer(char c) {
    if (step_ == Step::EndLf) {
        if (c != '\n') return refuse(Rule::ChunkLine);
        step_ = Step::Done;
        return;
    }
    if (step_ == Step::TrailerStart && c == '\r') {
        step_ = Step::EndLf;
        return;
    }
    is_canonical_ = 0;
    if (++trailer_bytes_ > kTrailerBytesMax) return refuse(Rule::TrailerLong);
    if (step_ == Step::TrailerLf) {
        if (c != '\n') return refuse(Rule::Trailer);
        step_ = Step::TrailerStart;
    } else if (step_ == Step::TrailerValue) {
        if (c == '\r') {
            step_ = Step::TrailerLf;
        } else if (!is_value_byte(c)) {
            refuse(Rule::Trailer);
        }
    } else if (is_token_byte(c)) {
        step_ = Step::TrailerName;
    } else if (c == ':' && step_ == Step::TrailerName) {
        step_ = Step::TrailerValue;
    } else {
        refuse(Rule::Trailer);
    }
}

}  // namespace thole::http
