// Control's part in keeper's survival. keeper and watch start each other again; who does when both
// are gone, or both stand still? Control: its loop calls look() a few times a second.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>

#include "wire/slots.h"

namespace thole::app {

// What is to be done for keeper and watch. Pure: told what is, says what should be.
class Stillness {
public:
    enum class Help { None, Start, Continue };
    struct Sight {
        bool keeper_lives = false;
        bool watch_lives = false;
        std::uint64_t keeper_tick = 0;
        std::uint64_t watch_tick = 0;
    };
    // Start: neither has lived for a second. Continue: whoever lives has not turned for ten. Only
    // turns of ours that came on time count, so that a suspended machine helps nobody. Either is
    // said again after the same time where it changed nothing.
    Help observe(std::int64_t now_ns, const Sight& sight);

private:
    std::int64_t turn_ns_ = 0;
    std::int64_t gone_ns_ = 0;
    std::int64_t still_ns_ = 0;
    Sight before_;
};

class KeeperGuard {
public:
    struct Folders {
        std::string run;
        std::string data;
        std::string binaries;  // Where lib/thole/keeper is.
    };
    using Say = std::function<void(std::string kind, std::string text)>;
    KeeperGuard(Folders folders, Say say);
    void look(std::int64_t now_ns);

private:
    void start_keeper();
    void reap();
    void say_once(std::string text);
    void wake(wire::Role role);

    Folders folders_;
    Say say_;
    const wire::SlotTable* table_;
    const wire::TicksPage* ticks_;
    Stillness stillness_;
    pid_t starting_ = 0;  // `keeper start`, until it has ended.
    std::string told_;    // Why it cannot be started, as was said last.
};

}  // namespace thole::app
