// SQLite's files, through env::Files: one VFS for each open store, under a name of its own. No
// shared memory and no locks: the store locks exclusively, and keeper lets one control live.
// Whichever thread uses the connection uses this.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/time.h"
#include "env/files.h"

namespace thole::control {

struct VfsState;

class Vfs {
public:
    explicit Vfs(env::Files& files);
    ~Vfs();  // Every connection over it is closed by then.
    Vfs(const Vfs&) = delete;
    Vfs& operator=(const Vfs&) = delete;

    const std::string& name() const;
    // What SQLite takes the time to be: the loop's, given with each piece of work.
    void set_wall(WallTime wall);
    // What the outside said first since this was asked last: SQLite only passes a number on.
    std::optional<Error> take_error();
    // A sync failed since this VFS was made: what its files hold in memory may never reach the
    // disk.
    bool has_lost_a_sync() const;

private:
    std::unique_ptr<VfsState> state_;
};

}  // namespace thole::control
