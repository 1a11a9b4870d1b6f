// What a worker remembers of the requests that ended last: a ring of records in memory that
// outlives the edge. One writer; main reads beside it and sees which ones were overwritten
// meanwhile. A record is there once `written` says so, which belongs to the commit that ends its
// exchange (Redo in counters.h): a death before that leaves the place as if nothing had been.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "edge/records.h"
#include "wire/request.h"

namespace thole::edge {

constexpr std::uint64_t kBoxKept = 8192;

struct BlackBox {
    static constexpr std::size_t kWords = sizeof(wire::RequestRecord) / sizeof(std::uint64_t);
    // Of one that has neither tries nor a text: it ends there.
    static constexpr std::size_t kShortWords =
        offsetof(wire::RequestRecord, ended_tries) / sizeof(std::uint64_t);
    static_assert(kWords % 4 == 0 && kShortWords % 4 == 0);
    struct alignas(64) Place {
        std::atomic<std::uint64_t> words[kWords];
    };

    std::atomic<std::uint64_t> written;
    // Main's: up to which one they are in access.log, or need not be.
    std::atomic<std::uint64_t> taken;
    Place places[kBoxKept];

    // The writer's: into the place after the last.
    void put(const wire::RequestRecord& record);
    // Of any other thread: the one of this number, from 0; false where it is not there any more.
    bool read(std::uint64_t number, wire::RequestRecord& record) const;
    // The same up to its target, which is enough to choose by.
    bool read_begin(std::uint64_t number, wire::RequestRecord& record) const;
    // The oldest that can be read.
    std::uint64_t first() const;

private:
    bool read_words(std::uint64_t number, std::uint64_t* into, std::size_t count) const;
};

// How an exchange ended, or stands, and what it does not say of itself.
struct End {
    wire::Outcome outcome;
    std::int64_t now_ns;
    std::string_view head;      // Of the request, rewritten; its first line is kept.
    std::uint32_t service = 0;  // Its id.
    std::uint32_t address = 0;  // Of the client, in network order; 0: not known.
    std::uint64_t bytes_in = 0;
    std::uint64_t bytes_out = 0;
    std::uint32_t status = 0;  // Of an answer of our own.
    std::string_view why{};    // Its text, or whatever else explains the end.
};

// Outcome::Count_: it is under way.
wire::RequestRecord record_of(const Exchange& exchange, Caller caller, const End& how);

// A further try of it has ended without an answer.
void note_try(Exchange& exchange, wire::TryEnd end, std::int64_t now_ns);

}  // namespace thole::edge
