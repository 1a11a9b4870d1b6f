// One direction of an exchange as an affine map: the rewritten head stands at `out_start` of the
// output, and after it output byte out_start + head_bytes + n is input byte in_body + n. So how far
// the output was written, which the kernel knows, is all there is to know. Pure.
//
// Where bytes of a chunked body are left out (extensions, trailers; for who reads no chunks all but
// their data), the map ends before them. Once everything before them is written, in_body moves by
// as much: from there on another map holds, and at that instant both tell the same. So such a body,
// too, is continued by a successor.
#pragma once

#include <cstdint>
#include <string_view>

#include "edge/records.h"

namespace thole::edge {

enum class Source { Open, Ended };

// Where we end a message before its sender does (Tail), the map ends at in_end: what comes after it
// is read and dropped, and a few bytes of our own stand in its place.
//
// Input position up to which everything has been passed on, with the output written up to `out`.
// What is before it may be overwritten.
std::uint64_t forwarded(const Flow& flow, std::uint64_t out);
// The same; all of the input, up to `in`, where nothing more of it will be passed on.
std::uint64_t wanted_from(const Flow& flow, std::uint64_t out, std::uint64_t in);

// Bytes of the rewritten head that are still to be written.
std::uint32_t head_left(const Flow& flow, std::uint64_t out);

// What is left of our own bytes after its end.
std::string_view tail_left(const Flow& flow, std::uint64_t out);
// Ends it there, with these.
void end_at(Flow& flow, std::uint64_t in_end, Tail tail);

// Input position up to which bytes may be passed on, with the input read up to `in`.
std::uint64_t limit_of(const Flow& flow, std::uint64_t in);

// Chunked: parses on in `bytes`, the input from in_parsed on; with the output written up to `out`.
// It stops at what is left out and cannot be yet, and at the message's end. False where the chunks
// are broken.
bool advance(Flow& flow, std::uint64_t out, std::string_view bytes);

// Where it ends, whoever gets it is told by the connection's end alone.
bool ends_with_connection(const Flow& flow);

// The whole message, head and body, has been written.
bool is_complete(const Flow& flow, std::uint64_t out, std::uint64_t in, Source source);

// The source ended before the message did: what was passed on is all that will ever come.
bool is_cut_short(const Flow& flow, std::uint64_t out, std::uint64_t in, Source source);

// Whether positions that the kernel tells can belong to this flow; adoption closes what cannot. A
// wrong position would send one user's bytes to another.
bool holds(const Flow& flow, std::uint64_t out, std::uint64_t in, std::uint32_t ring_bytes);

}  // namespace thole::edge
