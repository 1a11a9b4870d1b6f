// One service as control has it at this moment: its rows, its manifest, and what is being done
// about it. Owned by the loop.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "base/time.h"
#include "env/env.h"
#include "model/instance.h"
#include "model/manifest.h"
#include "model/records.h"
#include "recovery/back_off.h"

namespace thole::control {

struct DeploySaid {
    std::uint32_t release = 0;
    std::string status;  // docs/reference/api.md
    std::string reason;
};

// From the manifest to a release that can run.
enum class StagingStep : std::uint8_t { None, Digest, Copy, Build };

struct Staging {
    StagingStep step = StagingStep::None;
    std::int64_t revision = 0;
    std::uint32_t release = 0;  // The row that is being made.
    std::string digest;
    bool is_empty = false;         // There is no file in it.
    std::uint32_t build_slot = 0;  // 0: no build runs.
    std::uint32_t build_generation = 0;
    int builds_unseen = 0;  // Of this release, that ended while nobody could see how.
    bool is_late = false;   // Over its limit: it is killed.
    env::Timer again;       // Where there was no place for the build.
    Time until{};           // The build's limit.
    env::Timer limit;
    Time began{};
};

struct Service {
    model::ServiceRow row;
    model::ServiceSpec spec;  // As the manifest that is applied has it.
    std::map<std::uint32_t, model::ReleaseRow> releases;
    recovery::Failures failures;         // Of the version that is wanted.
    recovery::Failures proven_failures;  // Of what served last, while another release is wanted.
    std::string last_failure;
    std::string trouble;       // Why nothing can be started.
    std::string port_trouble;  // Why nobody reaches it: its port is taken, say.
    std::optional<DeploySaid> deploy;
    Staging staging;
    Time deploy_began{};
    bool is_settled = false;
    bool was_serving = false;  // Told on the timeline when it changes.
    env::Timer again;
    env::Timer remove_again;                           // Copies that could not be removed.
    std::optional<std::uint32_t> state_uid;            // Whose all that it keeps is known to be.
    std::optional<std::uint64_t> kept_bytes;           // Measured a while ago.
    bool is_handing_over = false;                      // To another user, at this moment.
    std::map<std::uint32_t, model::Command> commands;  // What `npm start` is, by release.
    std::set<std::uint32_t> asked_commands;            // Being read.

    model::Version wanted() const { return {row.wanted, row.restart}; }
    model::Version proven() const { return {row.serving, row.restart}; }
};

}  // namespace thole::control
