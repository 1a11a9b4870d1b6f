#include "keeper/roles.h"

#include <gtest/gtest.h>
#include <signal.h>

namespace thole::keeper {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

RoleEnd killed_by(int signal) {
    return {.wait_status = signal, .oom_kills = 0, .lived_ns = kSecond};
}

// An operator's kill must not use up the patience meant for a broken binary.
TEST(Roles, KilledFromOutsideComesBackAtOnceAndDoesNotCount) {
    EXPECT_EQ(crashes_after(0, killed_by(SIGKILL)), 0U);
    EXPECT_EQ(crashes_after(2, killed_by(SIGTERM)), 2U);
    EXPECT_EQ(restart_delay_ns(0), 0);
}

TEST(Roles, FaultsExitsAndOutOfMemoryCount) {
    EXPECT_EQ(crashes_after(0, killed_by(SIGSEGV)), 1U);
    EXPECT_EQ(crashes_after(1, {.wait_status = 3 << 8, .oom_kills = 0, .lived_ns = 0}), 2U);
    EXPECT_EQ(crashes_after(0, {.wait_status = SIGKILL, .oom_kills = 1, .lived_ns = 0}), 1U);
    EXPECT_EQ(crashes_after(5, {.wait_status = SIGSEGV, .oom_kills = 0, .lived_ns = 11 * kSecond}),
              1U);
}

TEST(Roles, WaitsLongerEachTimeUpToFiveSeconds) {
    EXPECT_EQ(restart_delay_ns(1), kSecond / 10);
    EXPECT_EQ(restart_delay_ns(2), kSecond / 5);
    EXPECT_EQ(restart_delay_ns(7), 5 * kSecond);
    EXPECT_EQ(restart_delay_ns(4'000'000'000U), 5 * kSecond);
}

TEST(Silence, FiveSecondsWithoutATickAreTooMany) {
    Silence silence;
    silence.restart(0);
    std::int64_t now = 0;
    int turns = 0;
    while (!silence.observe(now += kTurnNs, 7)) ++turns;
    EXPECT_GE(now, 5 * kSecond);
    EXPECT_LE(now, 6 * kSecond);
}

TEST(Silence, ATickStartsTheCountAgain) {
    Silence silence;
    silence.restart(0);
    std::int64_t now = 0;
    for (std::uint64_t turn = 0; turn < 100; ++turn) {
        EXPECT_FALSE(silence.observe(now += kTurnNs, 1 + turn / 10)) << turn;
    }
}

// A laptop that slept for an hour must find all its services alive.
TEST(Silence, ALateTurnOfTheWatcherProvesNothing) {
    Silence silence;
    silence.restart(0);
    std::int64_t now = 0;
    for (int turn = 0; turn < 100; ++turn) {
        now += turn % 10 == 9 ? 3600 * kSecond : kTurnNs;
        EXPECT_FALSE(silence.observe(now, 7)) << turn;
    }
}

TEST(HeirWait, CountsTheTurnsThatCome) {
    HeirWait wait;
    wait.restart(5 * kSecond);
    std::int64_t now = 5 * kSecond;
    while (wait.observe(now += kTurnNs) < kSecond) {}
    EXPECT_EQ(now, 6 * kSecond);
}

TEST(HeirWait, ALateTurnProvesNothing) {
    HeirWait wait;
    wait.restart(0);
    std::int64_t now = 0;
    for (int turn = 0; turn < 100; ++turn) {
        now += turn % 4 == 3 ? 3 * kTurnNs : kTurnNs;
        EXPECT_LT(wait.observe(now), kSecond) << turn;
    }
}

}  // namespace
}  // namespace thole::keeper
