// Somebody who follows the timeline, as the command line does: hears each row as it is said, and
// asks again where control died.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "sim/host.h"
#include "story.h"
#include "web/client.h"

namespace thole::simulation {

class Follower {
public:
    Follower(sim::SimHost& host, Story& story, std::function<void(std::string_view kind)> said);

    // Again after a boot.
    void begin(env::Owner owner);

private:
    void ask();
    void heard(std::string_view part);
    void heard_row(const std::string& line);

    sim::SimHost& host_;
    Story& story_;
    std::function<void(std::string_view)> said_;
    sim::SimProcess* process_ = nullptr;
    std::unique_ptr<web::Exchange> exchange_;
    env::Timer again_;
    std::string unread_;     // Not a whole line yet.
    std::int64_t last_ = 0;  // Sequence.
    bool is_first_ = true;   // Row of this connection.
};

}  // namespace thole::simulation
