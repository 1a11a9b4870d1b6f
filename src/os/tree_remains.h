// Takes a folder away, or sums it up, while those who live in it may still write there: never
// through a link, never onto another file system, in bounded memory and descriptors.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace thole::os {

// What env::Trees says of remove().
Status remove_tree(const std::string& path);
// Blocks of each file once, however many names it has. What is more than 128 folders deep is not
// counted.
Result<std::uint64_t> bytes_of_tree(const std::string& path);

}  // namespace thole::os
