// All that the command line may know of the machine it runs on: env, and what only a command line
// needs (a terminal, its user's variables, git, starting keeper). app/outside_linux.h is the real
// one. One thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "env/env.h"

namespace thole::cli {

enum class Channel {
    Data,  // stdout: what a script reads.
    Talk,  // stderr: what a person reads.
};

// How keeper is started: `keeper start --run … --data … --binaries …`.
struct KeeperStart {
    std::string run;
    std::string data;
    std::string binaries;
};

class Outside {
public:
    virtual ~Outside() = default;
    virtual env::Env& env() = 0;
    // One turn of the loop that waits at most this long; shorter where Ctrl-C comes.
    virtual void turn(Duration wait_max) = 0;
    // Whether Ctrl-C was pressed since the program began. A second one ends the program.
    virtual bool is_interrupted() = 0;

    // False where it could not be written (a full disk).
    virtual bool write(Channel channel, std::string_view bytes) = 0;
    virtual bool is_terminal(Channel channel) = 0;
    // Columns of the terminal; 80 where nobody knows.
    virtual std::size_t width() = 0;
    // Of the environment; empty where it is not set.
    virtual std::string variable(const std::string& name) = 0;
    virtual int utc_offset_seconds(WallTime at) = 0;

    // The real path of a folder that is there, links resolved.
    virtual Result<std::string> real_folder(const std::string& path) = 0;
    virtual bool is_folder(const std::string& path) = 0;
    // The uid of the user whose file or folder it is; nothing where it is not there.
    virtual std::optional<std::uint32_t> owner(const std::string& path) = 0;
    // One file by two paths (a folder mounted twice).
    virtual bool is_same(const std::string& one, const std::string& other) = 0;
    // Somebody listens at this socket; also where we may not ask.
    virtual bool is_heard(const std::string& socket) = 0;
    // A file that is there whole, and durable, or not at all; one that is there already stays.
    virtual Status make_once(const std::string& path, std::string_view text) = 0;
    // What git lists below the folder (tracked, and new but not ignored), relative to it; a
    // repository inside is one name. Nothing where there is no git or no repository; an error where
    // git could not read it: what it ignores is not known then.
    virtual Result<std::optional<std::vector<std::string>>> git_files(
        const std::string& folder) = 0;
    // All files below the folder but those in folders that begin with a dot, relative to it.
    virtual Result<std::vector<std::string>> all_files(const std::string& folder) = 0;

    // Where `thole` and `lib/thole/` lie.
    virtual std::string binaries() = 0;
    // Success once keeper answers, also where it ran before.
    virtual Status start_keeper(const KeeperStart& start) = 0;
};

}  // namespace thole::cli
