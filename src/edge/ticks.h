// Where the edge tells keeper that it turns: a file in the run folder, mapped once, which also says
// whether that folder is still the one that this edge and its successors were started in.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "wire/slots.h"

namespace thole::edge {

class Ticks {
public:
    // Without a file (no keeper is watching) it is never told, and never out of date.
    explicit Ticks(const std::string& run_folder);
    // At `now_ns` on CLOCK_BOOTTIME.
    void tell(std::int64_t now_ns) const;
    // The run folder was deleted and made again by another keeper, which finds none of ours there.
    bool is_out_of_date(const std::string& run_folder) const;

private:
    wire::TicksPage* page_ = nullptr;
    dev_t device_ = 0;
    ino_t inode_ = 0;
};

}  // namespace thole::edge
