// What goes first where room is short, and who has been waited for long enough: the pure parts.
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "edge/memory_limit.h"
#include "edge/patience.h"
#include "edge/pressure.h"
#include "edge/segment.h"
#include "edge/test_times.h"

namespace thole::edge {
namespace {

constexpr BodyPace kPace{5 * kSecond, 60 * kSecond, 500};

// Seconds until a client is given up, that sends so much in each of them; 100 where it is not.
int seconds_until_too_slow(BodyTime time, std::uint64_t bytes_per_second, Waiting waiting) {
    std::uint64_t in = 1000;
    for (int look = 0; look < 1000; ++look) {
        if (look % 10 == 9) in += bytes_per_second;
        if (!keeps_pace(time, kPace, {in, 100 * kMillisecond, waiting})) return look / 10;
    }
    return 100;
}

TEST(BodyTime, AByteNowAndThenIsNotEnough) {
    EXPECT_EQ(seconds_until_too_slow({}, 0, Waiting::ForClient), 5);
    EXPECT_EQ(seconds_until_too_slow({}, 250, Waiting::ForClient), 9);
    EXPECT_EQ(seconds_until_too_slow({}, 500, Waiting::ForClient), 100);
}

TEST(BodyTime, WhatOthersAreSlowAtIsNotTheClients) {
    EXPECT_EQ(seconds_until_too_slow({}, 0, Waiting::ForOthers), 100);
}

TEST(BodyTime, WhatCameFastMayPauseButNotForEver) {
    BodyTime time;
    EXPECT_TRUE(keeps_pace(time, kPace, {0, 0, Waiting::ForClient}));
    EXPECT_TRUE(keeps_pace(time, kPace, {10'000'000, 0, Waiting::ForClient}));
    EXPECT_TRUE(keeps_pace(time, kPace, {10'000'000, 60 * kSecond, Waiting::ForClient}));
    EXPECT_FALSE(keeps_pace(time, kPace, {10'000'000, 100 * kMillisecond, Waiting::ForClient}));
}

TEST(BodyTime, ItGoesOnWherePositionsPassFourGigabytes) {
    BodyTime time;
    EXPECT_TRUE(keeps_pace(time, kPace, {0xffff'ff00, 0, Waiting::ForClient}));
    EXPECT_TRUE(keeps_pace(time, kPace, {0x1'0000'0100, 6 * kSecond, Waiting::ForClient}));
    EXPECT_FALSE(keeps_pace(time, kPace, {0x1'0000'0100, kSecond, Waiting::ForClient}));
}

TEST(BodyTime, WithoutARateEachIsFastEnough) {
    BodyTime time;
    for (int i = 0; i < 3; ++i)
        EXPECT_TRUE(
            keeps_pace(time, {5 * kSecond, kSecond, 0}, {0, 9 * kSecond, Waiting::ForClient}));
}

TEST(Stall, WhoTakesALittleGoesOnAndWhoTakesNothingDoesNot) {
    Stall stall;
    std::uint32_t held = 1000;
    const auto is_over_at = [&](std::int64_t second, std::uint64_t out) {
        return is_stalled(stall, {out, second * kSecond, 30 * kSecond}, [&] { return held; });
    };
    EXPECT_FALSE(is_over_at(1, 7));
    EXPECT_FALSE(is_over_at(31, 7));
    held = 999;  // It reads so slowly that we could write nothing.
    EXPECT_FALSE(is_over_at(32, 7));
    EXPECT_FALSE(is_over_at(62, 7));
    EXPECT_FALSE(is_over_at(63, 8));  // We could write.
    EXPECT_FALSE(is_over_at(93, 8));
    EXPECT_TRUE(is_over_at(94, 8));
}

std::vector<std::uint32_t> chosen(std::vector<Sheddable> from, std::size_t wanted) {
    std::vector<std::uint32_t> found;
    const std::size_t count = choose_to_shed(from, wanted);
    for (std::size_t i = 0; i < count; ++i) found.push_back(from[i].fd);
    return found;
}

TEST(Shed, WhoHasTheMostGivesFirst) {
    std::vector<Sheddable> from;
    for (std::uint32_t i = 0; i < 100; ++i) from.push_back({.fd = i, .address = 2, .since_ns = i});
    for (std::uint32_t i = 100; i < 110; ++i)
        from.push_back({.fd = i, .address = 1, .since_ns = -1});
    const std::vector<std::uint32_t> gone = chosen(from, 90);
    ASSERT_EQ(gone.size(), 90U);
    for (std::uint32_t i = 0; i < 90; ++i) EXPECT_EQ(gone[i], i) << "the oldest of the one";
}

TEST(Shed, AboveALevelThatIsTheSameForAll) {
    std::vector<Sheddable> from;
    std::uint32_t fd = 0;
    for (const std::uint32_t many : {30U, 20U, 3U}) {
        for (std::uint32_t i = 0; i < many; ++i) from.push_back({.fd = fd++, .address = many});
    }
    std::map<std::uint32_t, int> of;
    for (const std::uint32_t gone : chosen(from, 40)) ++of[gone < 30 ? 30 : gone < 50 ? 20 : 3];
    EXPECT_EQ(of[30], 25);
    EXPECT_EQ(of[20], 15);
    EXPECT_EQ(of[3], 0);
    EXPECT_EQ(chosen(from, 1000).size(), 53U);
    EXPECT_EQ(chosen({}, 5).size(), 0U);
    EXPECT_EQ(chosen(from, 0).size(), 0U);
}

TEST(Shed, OfOneAddressTheIdleAndTheOldestFirst) {
    const std::vector<Sheddable> from = {
        {.fd = 1, .address = 1, .since_ns = 1, .rank = Sheddable::Rank::HalfHead},
        {.fd = 2, .address = 1, .since_ns = 9, .rank = Sheddable::Rank::Idle},
        {.fd = 3, .address = 1, .since_ns = 5, .rank = Sheddable::Rank::Idle}};
    EXPECT_EQ(chosen(from, 1), (std::vector<std::uint32_t>{3}));
    EXPECT_EQ(chosen(from, 2), (std::vector<std::uint32_t>{3, 2}));
}

TEST(Largest, TheMostBytesThenTheLongestStill) {
    std::vector<Stream> from = {{1, 10, 5}, {2, 65536, 9}, {3, 65536, 2}, {4, 0, 0}};
    ASSERT_EQ(largest(from, 2), 2U);
    EXPECT_EQ(from[0].fd, 3U);
    EXPECT_EQ(from[1].fd, 2U);
    EXPECT_EQ(largest(from, 9), 4U);
}

TEST(Fill, SoManyHaveToGo) {
    EXPECT_FALSE(is_over({75, 100}, 75));
    EXPECT_TRUE(is_over({76, 100}, 75));
    EXPECT_EQ(above({76, 100}, 70), 6U);
    EXPECT_EQ(above({7, 100}, 70), 0U);
    EXPECT_FALSE(is_over({0, 0}, 75));
}

TEST(Room, FollowsTheMemoryThereIs) {
    EXPECT_EQ(room_in({}).rings, kRings);
    EXPECT_EQ(room_in({}).heads, kHeads);
    EXPECT_EQ(room_in(std::uint64_t{1} << 40).rings, kRings);
    const Room small = room_in(64 * 1024 * 1024);
    EXPECT_GT(small.rings, 300U);
    // All of it, used as a whole, is still less than there is.
    EXPECT_LT(std::uint64_t{small.rings} * kRingBytes + std::uint64_t{small.heads} * kHeadBytes,
              64U * 1024 * 1024 * 8 / 10);
    EXPECT_GE(room_in(0).rings, 128U) << "else nothing could be served";
}

struct Machine {
    std::map<std::string, std::string> files;
    std::optional<std::uint64_t> limit() const {
        return memory_limit([this](const std::string& path) {
            const auto found = files.find(path);
            return found == files.end() ? std::string() : found->second;
        });
    }
};

constexpr const char* kV2 =
    "25 30 0:23 / /proc rw - proc proc rw\n"
    "31 25 0:27 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

TEST(MemoryLimit, IsTheLeastOfOwnAndThoseAbove) {
    Machine machine{
        {{"/proc/self/cgroup", "0::/system.slice/thole.service\n"}, {"/proc/self/mountinfo", kV2}}};
    EXPECT_FALSE(machine.limit());
    machine.files["/sys/fs/cgroup/system.slice/thole.service/memory.max"] = "max\n";
    EXPECT_FALSE(machine.limit());
    machine.files["/sys/fs/cgroup/system.slice/memory.max"] = "67108864\n";
    EXPECT_EQ(machine.limit(), 67108864U);
    machine.files["/sys/fs/cgroup/system.slice/thole.service/memory.max"] = "1048576\n";
    EXPECT_EQ(machine.limit(), 1048576U);
}

TEST(MemoryLimit, OfAContainerThatSeesOnlyItsOwnTree) {
    Machine machine{{{"/proc/self/cgroup", "0::/\n"},
                     {"/proc/self/mountinfo", kV2},
                     {"/sys/fs/cgroup/memory.max", "1048576\n"}}};
    EXPECT_EQ(machine.limit(), 1048576U);
}

TEST(MemoryLimit, OfTheFirstVersion) {
    Machine machine{{{"/proc/self/cgroup", "9:cpu,cpuacct:/a\n4:memory:/docker/abc\n0::/\n"},
                     {"/proc/self/mountinfo",
                      "40 25 0:31 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
                      "41 25 0:32 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n"},
                     {"/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"}}};
    EXPECT_FALSE(machine.limit()) << "that is none";
    machine.files["/sys/fs/cgroup/memory/memory.limit_in_bytes"] = "1048576\n";
    EXPECT_EQ(machine.limit(), 1048576U);
}

TEST(MemoryLimit, NonsenseIsNone) {
    for (const char* const text : {"", "\n", "x", "0::", "0::/a\n-", " - \n"}) {
        const Machine machine{{{"/proc/self/cgroup", text}, {"/proc/self/mountinfo", text}}};
        EXPECT_FALSE(machine.limit()) << text;
    }
}

}  // namespace
}  // namespace thole::edge
