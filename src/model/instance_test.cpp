#include "model/instance.h"

#include <gtest/gtest.h>

namespace thole::model {
namespace {

// People act on these words: they must say what the kernel said.
TEST(End, SaysHowItEnded) {
    EXPECT_EQ(describe({.wait_status = 0}), "exit status 0");
    EXPECT_EQ(describe({.wait_status = 3 << 8}), "exit status 3");
    EXPECT_EQ(describe({.wait_status = 127 << 8}), "exit status 127: a program was not found");
    EXPECT_EQ(describe({.wait_status = 9, .is_oom_known = true}),
              "SIGKILL, sender unknown, oom_kill unchanged");
    EXPECT_EQ(describe({.wait_status = 9}), "SIGKILL, sender unknown, oom_kill unknown");
    EXPECT_EQ(describe({.wait_status = 11 | 0x80}), "SIGSEGV");
    EXPECT_EQ(describe({.wait_status = 9, .oom_kills = 1}), "killed for want of memory");
    EXPECT_EQ(describe({.wait_status = 40}), "signal 40");
    EXPECT_EQ(describe({.is_known = false}), "it ended while nobody could wait for it");
    EXPECT_EQ(describe({.never_ran = true, .wait_status = 10 << 16 | 2}),
              "its program could not be started: there is no such file");
    EXPECT_EQ(describe({.never_ran = true, .wait_status = 3 << 16 | 11}),
              "no process could be made (errno 11)");
}

TEST(End, TellsAKillFromACrash) {
    EXPECT_TRUE(was_killed_from_outside({.wait_status = 9}));
    EXPECT_TRUE(was_killed_from_outside({.wait_status = 15}));
    EXPECT_TRUE(was_killed_from_outside({.wait_status = 9, .is_oom_known = true}));
    EXPECT_FALSE(was_killed_from_outside({.wait_status = 9, .oom_kills = 1}));
    EXPECT_FALSE(was_killed_from_outside({.wait_status = 11}));
    EXPECT_FALSE(was_killed_from_outside({.wait_status = 1 << 8}));
    EXPECT_FALSE(was_killed_from_outside({.is_known = false}));
}

TEST(InstanceName, HoldsServiceSlotAndGeneration) {
    EXPECT_EQ(name_of("web", {17, 2}), "web-17.2");
}

}  // namespace
}  // namespace thole::model
