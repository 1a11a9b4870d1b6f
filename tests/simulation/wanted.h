// What the user of a world wants of one service, and what has been promised of it so far.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/time.h"

namespace thole::simulation {

struct Wanted {
    std::string name;
    std::string keys;  // Of the manifest, but for its calls and its scale.
    std::vector<std::string> calls = {};
    bool is_single = false;
    bool listens = true;
    bool has_build = false;
    bool has_user = false;
    int scale = 1;
    int scale_most = 1;  // While it is being changed.
    int scale_asked = 1;
    int scale_written = 1;       // In the manifest.
    std::uint32_t restarts = 0;  // So many were acknowledged.
    std::string behaviour = {};  // What the file says.
    bool has_crashed = false;
    // Whether it keeps state was changed, and it was not seen whole since: what counts still may be
    // as it was before.
    bool is_changed = false;
    // Its user was told that it is paused, and has not asked for anything else since.
    bool is_paused = false;
    bool is_pause_asked = false;   // The last that was asked: a pause without an end.
    bool is_resume_asked = false;  // … its end.
    bool may_be_paused = false;    // Nothing that ends it was answered since one was asked for.
    bool is_pruned = false;        // It is not in the manifest.
    // It is not, or was not until a manifest that control may not know yet: what was decided before
    // may still come.
    bool is_out = false;
    Time cut_off_since{};  // One that runs cannot call somebody; Time{}: all can.
    // It has once had all it should, and nothing has happened since that may take one away: from
    // now on none may be missing.
    bool is_complete = false;
    Time shaken_until{};    // One died, or more are wanted; what was decided before may still come.
    Time too_many_since{};  // Time{}: there are not.
};

}  // namespace thole::simulation
