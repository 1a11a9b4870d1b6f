// Virtual time, timers, work in the background, and that a seed says all.
#include <gtest/gtest.h>

#include "sim/host.h"

namespace thole::sim {
namespace {

using namespace std::chrono_literals;

TEST(SimLoopTest, TimersComeInOrderOfTimeThenOfMakingAndCancelWhenDestroyed) {
    SimEnv sim(1);
    std::string order;
    const env::Timer third = sim.env().timers.after(20ms, [&] { order += "3"; });
    const env::Timer first = sim.env().timers.after(5ms, [&] { order += "1"; });
    const env::Timer second = sim.env().timers.after(5ms, [&] { order += "2"; });
    {
        const env::Timer never = sim.env().timers.after(1ms, [&] { order += "x"; });
    }
    sim.loop().run_for(10ms);
    EXPECT_EQ(order, "12");
    sim.loop().run_for(10ms);
    EXPECT_EQ(order, "123");
}

TEST(SimLoopTest, TimeIsExactAndStandsStillWhileAnEventRuns) {
    SimEnv sim(1);
    const Time start = sim.env().clock.now();
    Time fired;
    const env::Timer timer = sim.env().timers.after(1h, [&] { fired = sim.env().clock.now(); });
    EXPECT_TRUE(sim.loop().run_until([&] { return fired != Time(); }, 2h));
    EXPECT_EQ(fired - start, 1h);
    EXPECT_EQ(sim.env().clock.now(), fired);
    EXPECT_FALSE(sim.loop().run_until([] { return false; }, 1h));
    EXPECT_EQ(sim.env().clock.now() - fired, 1h);
}

// A loop that asks for a turn at once, for ever, would else stop time for everybody.
TEST(SimLoopTest, ATimerOfZeroThatMakesAnotherDoesNotStopTime) {
    SimEnv sim(1);
    int turns = 0;
    env::Timer again;
    std::function<void()> call = [&] {
        ++turns;
        again = sim.env().timers.after(0ms, call);
    };
    call();
    sim.loop().run_for(1ms);
    EXPECT_GT(turns, 100);
    EXPECT_LT(turns, 2000);
}

TEST(SimLoopTest, ATimerForEverIsNoEvent) {
    SimEnv sim(1);
    const env::Timer never = sim.env().timers.after(kForever, [] { FAIL(); });
    EXPECT_FALSE(sim.loop().step());
}

TEST(SimLoopTest, ASuspendedMachineComesLateToEverythingThatWasDue) {
    SimEnv sim(1);
    const Time start = sim.env().clock.now();
    std::vector<Duration> fired;
    const auto fire = [&] { fired.push_back(sim.env().clock.now() - start); };
    const env::Timer first = sim.env().timers.after(1s, fire);
    const env::Timer second = sim.env().timers.after(2s, fire);
    const WallTime wall = sim.env().clock.wall();
    sim.loop().suspend(1h);
    EXPECT_TRUE(fired.empty());
    sim.loop().run_for(1s);
    ASSERT_EQ(fired.size(), 2U);
    EXPECT_GE(fired.front(), 1h);
    EXPECT_EQ(sim.env().clock.wall() - wall, 1h + 1s);
}

TEST(SimLoopTest, TheClockOnTheWallJumpsAndNoTimerNotices) {
    SimEnv sim(1);
    EXPECT_EQ(format_wall(sim.env().clock.wall()).substr(0, 10), "2026-01-01");
    const Time now = sim.env().clock.now();
    sim.loop().jump_wall(-48h);
    EXPECT_EQ(format_wall(sim.env().clock.wall()).substr(0, 10), "2025-12-30");
    EXPECT_EQ(sim.env().clock.now(), now);
}

TEST(SimBackgroundTest, WorkIsDoneInOrderAndNeverInTheCallThatAsks) {
    SimEnv sim(1);
    std::string done;
    for (const char* name : {"a", "b", "c"}) {
        sim.env().background.run([&done] { done += "+"; }, [&done, name] { done += name; });
    }
    EXPECT_EQ(done, "");
    sim.loop().run_for(1s);
    EXPECT_EQ(done, "+a+b+c");
}

TEST(SimBackgroundTest, AHungQueueEndsNothingUntilItIsReleased) {
    SimEnv sim(1);
    int done = 0;
    sim.env().background.run([] {}, [&] { ++done; });
    sim.process().background().hang();
    sim.env().background.run([] {}, [&] { ++done; });
    sim.loop().run_for(1h);
    EXPECT_EQ(done, 0);
    sim.process().background().release();
    sim.loop().run_for(1s);
    EXPECT_EQ(done, 2);
}

TEST(SimBackgroundTest, ASlowQueueTakesAsLongAsItIsTold) {
    SimEnv sim(1);
    bool done = false;
    sim.process().background().set_takes({10s, 20s});
    sim.env().background.run([] {}, [&] { done = true; });
    sim.loop().run_for(9s);
    EXPECT_FALSE(done);
    sim.loop().run_for(11s);
    EXPECT_TRUE(done);
}

// A process that dies in a commit may find it done or not; both must be met, and `done` never.
TEST(SimBackgroundTest, WorkThatRunsAtAKillHappensOrNotOrInPart) {
    std::set<std::size_t> written;
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
        SimEnv sim(seed);
        env::Files& files = sim.env().files;
        bool was_told = false;
        bool next_ran = false;
        sim.env().background.run(
            [&] {
                for (const char* name : {"/a", "/b", "/c", "/d"}) {
                    if (!files.open(name, env::OpenMode::Create).ok()) return;
                }
            },
            [&] { was_told = true; });
        sim.env().background.run([&] { next_ran = true; }, [] {});
        sim.process().kill();
        sim.loop().run_for(1s);
        EXPECT_FALSE(was_told);
        EXPECT_FALSE(next_ran);
        written.insert(sim.host().process("test").env().files.list("/").value().size());
    }
    EXPECT_EQ(written, (std::set<std::size_t>{0, 1, 2, 3, 4}));
}

TEST(SimProcessTest, AKilledProcessHasNoTimersAndTakesNoEffect) {
    SimHost host(1);
    SimProcess& former = host.process("control");
    const env::Timer timer = former.env().timers.after(1s, [] { FAIL(); });
    former.env().background.run([] {}, [] { FAIL(); });
    former.kill();
    const env::Timer late = former.env().timers.after(1s, [] { FAIL(); });
    former.env().background.run([] { FAIL(); }, [] { FAIL(); });
    EXPECT_FALSE(former.env().files.make_folder("/a", 0700).ok());
    SimProcess& next = host.process("control");
    EXPECT_NE(next.pid(), former.pid());
    bool fired = false;
    const env::Timer other = next.env().timers.after(2s, [&] { fired = true; });
    host.loop().run_for(3s);
    EXPECT_TRUE(fired);
    EXPECT_FALSE(next.env().files.exists("/a"));
}

TEST(SimProcessTest, APausedProcessGoesOnWhereItWasAndCancelsWhatWaits) {
    SimHost host(1);
    SimProcess& stopped = host.process("stopped");
    std::string order;
    const env::Timer first = stopped.env().timers.after(1s, [&] { order += "1"; });
    const env::Timer second = stopped.env().timers.after(2s, [&] { order += "2"; });
    env::Timer third = stopped.env().timers.after(3s, [&] { order += "x"; });
    stopped.pause();
    host.loop().run_for(1min);
    EXPECT_EQ(order, "");
    third.cancel();
    stopped.resume();
    host.loop().run_for(1s);
    EXPECT_EQ(order, "12");
}

TEST(SimProcessTest, WhatItIsToldOfUsersAndProgramsIsWhatTheTestSaid) {
    SimHost host(1);
    host.add_user("shop", {990, 991});
    host.add_program("node", "/usr/bin/node");
    SimProcess& process = host.process("control", {.pid = 77, .owner = {0, 5}});
    env::Processes& processes = process.env().processes;
    EXPECT_EQ(process.pid(), 77U);
    EXPECT_EQ(processes.self().uid, 0U);
    EXPECT_EQ(processes.self().gid, 5U);
    EXPECT_EQ(processes.user("shop").value().gid, 991U);
    EXPECT_EQ(processes.user("none").error().code, Code::NotFound);
    EXPECT_EQ(processes.find_program("node"), "/usr/bin/node");
    EXPECT_EQ(processes.find_program("ruby"), "");
}

TEST(SimHostTest, APowerCutKillsAllAndTheMachineBootsWithANewClock) {
    SimHost host(1);
    SimProcess& process = host.process("control");
    const std::string boot = process.env().processes.boot_id();
    const env::Timer timer = process.env().timers.after(1s, [] { FAIL(); });
    host.loop().run_for(500ms);
    const Time before = process.env().clock.now();
    const WallTime wall = process.env().clock.wall();
    host.power_cut();
    EXPECT_FALSE(process.is_alive());
    SimProcess& next = host.process("control");
    EXPECT_LT(next.env().clock.now(), before);
    EXPECT_GT(next.env().clock.wall(), wall);
    EXPECT_NE(next.env().processes.boot_id(), boot);
    bool fired = false;
    const env::Timer other = next.env().timers.after(1s, [&] { fired = true; });
    host.loop().run_for(1s);
    EXPECT_TRUE(fired);
}

// A bit of everything: its hash must not depend on anything but the seed.
std::uint64_t trace_of(std::uint64_t seed, const std::string& said) {
    SimHost host(seed);
    SimProcess& server = host.process("server");
    SimProcess& client = host.process("client");
    std::vector<std::unique_ptr<env::Stream>> streams;
    const auto listening =
        server.env().network.listen({0x7f000001, 8080}, [&](std::unique_ptr<env::Stream> stream) {
            env::Stream* const at = stream.get();
            at->set_events({.received = [at](std::string_view bytes) { at->write(bytes); }});
            streams.push_back(std::move(stream));
        });
    const auto stream = client.env().network.connect({0x7f000001, 8080});
    std::string back;
    stream->set_events({.received = [&](std::string_view bytes) { back += bytes; }});
    stream->write(said);
    client.env().background.run(
        [&] {
            const Status kept =
                client.env().files.replace("/a", "x", env::Durability::Synced, 0600);
            EXPECT_TRUE(kept.ok());
        },
        [] {});
    EXPECT_TRUE(host.loop().run_until([&] { return back == said; }, 10s));
    client.kill();
    host.loop().run_for(1s);
    return host.trace();
}

TEST(SimHostTest, TheSameSeedGivesTheSameTraceAndAnotherSeedAnother) {
    const std::string said(300'000, 'x');
    EXPECT_EQ(trace_of(7, said), trace_of(7, said));
    EXPECT_NE(trace_of(7, said), trace_of(8, said));
}

// Two runs that differ in nothing but what they say must not pass for the same.
TEST(SimHostTest, TheTraceCoversWhatIsSaid) { EXPECT_NE(trace_of(7, "one"), trace_of(7, "two")); }

// A test may end while callbacks wait that own streams and timers.
TEST(SimHostTest, AHostMayBeDestroyedWhileCallbacksOwnWhatStandsOnIt) {
    SimHost host(1);
    SimProcess& process = host.process("control");
    const std::shared_ptr<env::Stream> stream = process.env().network.connect({0x7f000001, 1});
    const std::shared_ptr<env::Timer> timer =
        std::make_shared<env::Timer>(process.env().timers.after(1s, [] {}));
    const std::uint64_t id = host.loop().schedule(1s, {"test", nullptr, [stream, timer] {}});
    EXPECT_GT(id, 0U);
}

TEST(SimHostTest, TheLastEventsAreToldForAReport) {
    SimEnv sim(1);
    const env::Timer timer = sim.env().timers.after(5ms, [] {});
    sim.loop().run_for(5ms);
    EXPECT_NE(sim.loop().last_events().find("us timer test"), std::string::npos);
}

}  // namespace
}  // namespace thole::sim
