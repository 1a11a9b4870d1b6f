// A segment that a dead edge left, damaged anywhere: three clients with their instances, real
// connections, and then any bytes over the records, the exchanges and the tables. The first bytes
// say how far each was; of the rest each six or more are where to write what. What must hold: it is
// read without touching what is not there, and whoever goes on has blocks that nobody else has, and
// a place in them for each byte that waits.
#include <dirent.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <set>
#include <span>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "base/check.h"
#include "edge/adopt.h"
#include "edge/flow.h"
#include "edge/worker.h"

namespace {

using namespace thole;
using namespace thole::edge;

constexpr std::uint32_t kPairs = 3;
constexpr std::size_t kSent = 40;
constexpr std::uint32_t kHeadSize = 20;
constexpr std::uint32_t kListener = 100;
constexpr std::size_t kPage = 4096;

// Bytes of the input, zeros behind its end.
struct Input {
    std::string_view left;

    std::uint8_t byte() {
        if (left.empty()) return 0;
        const auto value = static_cast<std::uint8_t>(left[0]);
        left.remove_prefix(1);
        return value;
    }
    std::uint32_t two() { return byte() * 256U + byte(); }
};

Segment* map_segment() {
    void* const at = ::mmap(nullptr, sizeof(Segment), PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(at != MAP_FAILED);
    return static_cast<Segment*>(at);
}

int listen_anywhere(sockaddr_in& at) {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    at = {};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(at);
    CHECK(::bind(fd, reinterpret_cast<const sockaddr*>(&at), size) == 0 && ::listen(fd, 64) == 0);
    CHECK(::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size) == 0);
    return fd;
}

// A connection to it: who connected, who was accepted.
std::pair<int, int> connect_to(int listener, const sockaddr_in& at) {
    const int ours = ::socket(AF_INET, SOCK_STREAM, 0);
    const linger at_once{1, 0};  // Else a million of them wait for their last packets.
    ::setsockopt(ours, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    CHECK(::connect(ours, reinterpret_cast<const sockaddr*>(&at), sizeof(at)) == 0);
    const int theirs = ::accept(listener, nullptr, nullptr);
    CHECK(theirs >= 0);
    ::setsockopt(theirs, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    return {ours, theirs};
}

std::vector<int> open_now() {
    std::vector<int> found;
    DIR* const folder = ::opendir("/proc/self/fd");
    CHECK(folder != nullptr);
    while (const dirent* entry = ::readdir(folder)) {
        if (entry->d_name[0] != '.') found.push_back(std::atoi(entry->d_name));
    }
    ::closedir(folder);
    return found;
}

struct Pair {
    int browser, client, upstream, instance;
};

struct World {
    Segment& segment = *map_segment();
    sockaddr_in edge_at{}, instance_at{};
    int listener = listen_anywhere(edge_at);
    int instances = listen_anywhere(instance_at);
    std::array<Pair, kPairs> pairs{};

    void make(Input& input);
    void clear();
    void damage(Input& input);

private:
    void attach(std::uint32_t number, std::size_t passed, std::size_t answered);
};

// As an edge leaves it that was killed: `passed` bytes of the request, `answered` of the answer.
void World::attach(std::uint32_t number, std::size_t passed, std::size_t answered) {
    const Pair& pair = pairs[number];
    Record& client = segment.records[pair.client];
    Record& upstream = segment.records[pair.upstream];
    char bytes[kSent];
    CHECK(::read(pair.client, bytes, kSent) == kSent);
    CHECK(::write(pair.upstream, bytes, passed) == static_cast<ssize_t>(passed));
    CHECK(::write(pair.instance, bytes, answered) == static_cast<ssize_t>(answered));
    client.ring = number;
    begin_exchange(client, segment.exchanges[number], number, now_ns());
    commit({client, segment.exchanges[number]}, [&](Exchange& next) {
        next.phase = Phase::Attached;
        next.service = {1, 0};
        next.attempts = 1;
        next.upstream = static_cast<std::uint32_t>(pair.upstream);
        next.upstream_cookie = upstream.cookie;
        next.slot = number;
        next.generation = 1;
        next.request.head = number;
        next.request.head_bytes = kHeadSize;
        next.request.framing = Framing::Length;
        next.request.in_body = kSent / 2;
        next.request.in_end = kSent;
    });
}

void World::make(Input& input) {
    segment.snapshot_version = 1;
    segment.control_listener = segment.memory = -1;
    segment.listener_count = segment.service_count = 1;
    segment.listeners[0].id = kListener;
    segment.listeners[0].fd = listener;
    segment.listeners[0].kind = static_cast<std::uint32_t>(wire::ListenerKind::Public);
    segment.services[0].id = segment.services[0].is_used = 1;
    for (Hand& hand : segment.hands) hand.fd = kNone;
    for (std::uint32_t number = 0; number < kPairs; ++number) {
        EndpointEntry& endpoint = segment.endpoints[number];
        endpoint.generation = endpoint.service = 1;
        endpoint.address = INADDR_LOOPBACK;
        endpoint.port = ntohs(instance_at.sin_port);
        Pair& pair = pairs[number];
        std::tie(pair.browser, pair.client) = connect_to(listener, edge_at);
        std::tie(pair.upstream, pair.instance) = connect_to(instances, instance_at);
        open_client(segment.records[pair.client], pair.client, kListener, 0);
        open_upstream(segment.records[pair.upstream], pair.upstream, {number, 1});
        const std::uint8_t how = input.byte();
        if (how % 4 == 0) {
            segment.records[pair.upstream].kind = Kind::Idle;
        } else {
            const char bytes[kSent] = {};
            CHECK(::write(pair.browser, bytes, kSent) == kSent);
            attach(number, how % (kHeadSize + kSent / 2 + 1), how % 7);
        }
    }
}

void World::clear() {
    for (const Pair& pair : pairs) {
        for (const int fd : {pair.browser, pair.client, pair.upstream, pair.instance}) {
            segment.records[fd] = {};
            ::close(fd);
        }
    }
    // Not the records: to look at so many anew for each input would take most of the time.
    char* const begin = reinterpret_cast<char*>(&segment);
    ::madvise(begin, offsetof(Segment, records) / kPage * kPage, MADV_DONTNEED);
    for (ExchangePair& pair : std::span(segment.exchanges).first(kPairs)) pair = {};
}

void World::damage(Input& input) {
    while (input.left.size() >= 4) {
        const Pair& pair = pairs[input.byte() % kPairs];
        const std::uint8_t what = input.byte();
        const auto number = static_cast<std::uint32_t>(&pair - pairs.data());
        const auto put = [&](auto& target) {
            static_assert(std::is_standard_layout_v<std::remove_reference_t<decltype(target)>>);
            const std::size_t at = input.two() % sizeof(target);
            const std::size_t size =
                std::min<std::size_t>(1 + input.byte() % 8, sizeof(target) - at);
            for (std::size_t i = 0; i < size; ++i)
                reinterpret_cast<char*>(&target)[at + i] = static_cast<char>(input.byte());
        };
        switch (what % 12) {
            case 0: put(segment.records[pair.client]); break;
            case 1: put(segment.records[pair.upstream]); break;
            case 2: put(segment.exchanges[number].halves[0]); break;
            case 3: put(segment.exchanges[number].halves[1]); break;
            case 4: put(segment.endpoints[number]); break;
            case 5: put(segment.hands); break;
            case 6: put(segment.services[0]); break;
            case 7: put(segment.counters[number % kWorkers].redo); break;
            case 8: put(segment.listener_count); break;
            case 9: put(segment.service_count); break;
            case 10: put(segment.routes_now); break;
            case 11: put(segment.faults); break;
        }
    }
}

// Whoever was adopted.
void check(Runtime& runtime, std::uint32_t fd, std::set<std::uint32_t>& rings,
           std::set<std::uint32_t>& heads, std::set<std::uint32_t>& blocks) {
    const auto take = [](std::set<std::uint32_t>& taken, std::uint32_t block, std::uint32_t all) {
        if (block != kNone) CHECK(block < all && taken.insert(block).second);
    };
    const Record& record = runtime.record(fd);
    take(rings, record.ring, kRings);
    if (!has_exchange(record)) return;
    take(blocks, block_of(record), kExchanges);
    const Exchange& now = current(runtime.exchange(fd));
    if (now.phase == Phase::Reading) return;
    take(heads, now.request.head, kHeads);
    take(heads, now.response.head, kHeads);
    if ((now.flags & kOwnAnswer) != 0 || now.upstream == kNone) return;
    CHECK(now.upstream < kDescriptorsMax);
    take(rings, runtime.record(now.upstream).ring, kRings);
    CHECK(now.request.head_bytes <= kHeadBytes);
    const Socket& client = runtime.socket(fd);
    const Socket& upstream = runtime.socket(now.upstream);
    const std::uint64_t passed = forwarded(now.request, upstream.out);
    CHECK(passed <= client.in && client.in - passed <= kRingBytes);
    CHECK(client.in == passed || record.ring != kNone);
}

struct Heir {
    explicit Heir(Segment& segment) : runtime(segment) {
        for (std::uint32_t i = 0; i < kWorkers; ++i)
            runtime.workers.push_back(std::make_unique<Worker>(runtime, i));
    }
    std::vector<int> descriptors() const {
        std::vector<int> found;
        for (const std::unique_ptr<Worker>& worker : runtime.workers) {
            const std::vector<int> own = worker->descriptors();
            found.insert(found.end(), own.begin(), own.end());
        }
        return found;
    }
    Runtime runtime;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static World world;
    Input input{{reinterpret_cast<const char*>(data), size}};
    std::vector<int> keep = open_now();
    world.make(input);
    for (const Pair& pair : world.pairs) keep.insert(keep.end(), {pair.browser, pair.instance});
    world.damage(input);
    Heir heir(world.segment);
    const std::vector<int> own = heir.descriptors();
    keep.insert(keep.end(), own.begin(), own.end());
    adopt_all(heir.runtime, keep);
    std::set<std::uint32_t> rings, heads, blocks;
    for (const Pair& pair : world.pairs) {
        const auto fd = static_cast<std::uint32_t>(pair.client);
        if (heir.runtime.socket(fd).is_open) check(heir.runtime, fd, rings, heads, blocks);
    }
    world.clear();
    return 0;
}
