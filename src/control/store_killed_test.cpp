// The store under a process that is killed, again and again, on a real file system.
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/store.h"
#include "os/linux_env.h"

namespace thole::control {
namespace {

using namespace std::chrono_literals;

// Each batch writes its number in three places.
Batch numbered_batch(int i) {
    return {model::NumberRow{"last", i}, model::SlotRow{0, 1, static_cast<std::uint32_t>(i)},
            model::TimelineRow{i, {}, "instance ready", "web", "", "because"}};
}

int last_number(const Stored& stored) {
    if (stored.numbers.empty()) return 0;
    EXPECT_EQ(stored.numbers[0].value, stored.timeline_last);
    EXPECT_EQ(stored.numbers[0].value, stored.slots.at(0).generation);
    return static_cast<int>(stored.numbers[0].value);
}

// Commits until it is killed; tells each number that it was told of.
[[noreturn]] void live_until_killed(const std::string& path, int tell) {
    os::Loop loop;
    os::LinuxEnv linux(loop);
    Result<std::unique_ptr<Store>> store = Store::open(linux.env(), path);
    if (!store) _exit(1);
    int last = last_number((*store)->take_stored());
    while (true) {
        for (int batch = 0; batch < 3; ++batch) {
            const int i = ++last;
            (*store)->commit(numbered_batch(i), [tell, i] {
                if (write(tell, &i, sizeof(i)) != sizeof(i)) _exit(1);
            });
        }
        loop.turn(1s);
    }
}

TEST(StoreKilledTest, AKilledControlLosesNothingThatItWasToldOf) {
    char folder[] = "/tmp/thole-store-test-XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    const std::string path = std::string(folder) + "/state.db";
    int told = 0;
    for (int life = 0; life < 8; ++life) {
        int ends[2];
        ASSERT_EQ(pipe(ends), 0);
        const pid_t child = fork();
        if (child == 0) live_until_killed(path, ends[1]);
        ::close(ends[1]);
        // A little after one of its answers: anywhere in what follows it.
        for (int answers = 5 + life * 3; answers > 0; --answers)
            ASSERT_EQ(read(ends[0], &told, sizeof(told)), static_cast<ssize_t>(sizeof(told)));
        ASSERT_EQ(kill(child, SIGKILL), 0);
        ASSERT_EQ(waitpid(child, nullptr, 0), child);
        while (read(ends[0], &told, sizeof(told)) == static_cast<ssize_t>(sizeof(told))) {}
        ::close(ends[0]);
        os::Loop loop;
        os::LinuxEnv linux(loop);
        Result<std::unique_ptr<Store>> store = Store::open(linux.env(), path);
        ASSERT_TRUE(store.ok()) << store.error().text();
        EXPECT_GE(last_number((*store)->take_stored()), told);
    }
    EXPECT_GT(told, 50);
    EXPECT_EQ(system(("rm -rf " + std::string(folder)).c_str()), 0);
}

}  // namespace
}  // namespace thole::control
