// How many descriptors keeper and watch may hold: as many as the machine lets them, as each slot
// and listener takes some. What they start gets the limit they were started with.
#pragma once

namespace thole::keeper {

void raise_open_files();
// Between fork and exec.
void restore_open_files();

}  // namespace thole::keeper
