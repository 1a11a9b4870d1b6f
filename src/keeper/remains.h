// What an ended process left behind, found in /proc by session, group or parent: for machines and
// users without cgroups, and for the last moments of a shutdown. Allocates nothing.
#pragma once

#include <sys/types.h>

#include "wire/slots.h"

namespace thole::keeper {

// Signals all in the session or process group that this claim's process led, itself included.
// Nobody where its pid is another process's by now.
void signal_session(const wire::SlotClaim& leader, int signal);

// Whether anybody of that session or group still lives: milliseconds, as each process is looked at.
bool session_lives(const wire::SlotClaim& leader);

// SIGKILLs every child of `parent` but `spared`. True where there was none.
bool kill_children(pid_t parent, pid_t spared);

// A control of this run folder lives; also where nobody can look.
bool control_lives(const char* run_folder);

// SIGKILLs the instances and builds of this data folder, as far as we may look: for a keeper that
// has no table of them. They are known by their environment: THOLE_INSTANCE or THOLE_BUILD, and a
// path in that folder; who overwrites its own (PostgreSQL shows its state there) is not.
void kill_instances_of(const char* data_folder);

// Deletes every file in this folder, and the folder.
void delete_folder(const char* path);

}  // namespace thole::keeper
