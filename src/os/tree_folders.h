// Folders by descriptor, and what is below them by name, without following a link: whoever may
// write in a tree (a service in its own state) must not lead us out of it.
#pragma once

#include <dirent.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "os/fd.h"

namespace thole::os {

// A path of ours: absolute, with no part that is empty, "." or "..", no NUL, and not "/" itself.
Status check_tree_path(std::string_view path);
// A name in a tree: the same, but relative.
Status check_tree_name(std::string_view name);

// "/a/b" is "b" in "/a".
std::string parent_of(std::string_view path);
std::string last_part_of(std::string_view path);

// Deeper nobody goes: stack and descriptors, a frame and one or two of them for each.
constexpr int kTreeDepthMax = 128;

struct FolderCloser {
    void operator()(DIR* folder) const { ::closedir(folder); }
};
using Reading = std::unique_ptr<DIR, FolderCloser>;
Result<Reading> read_folder(FileDescriptor folder, const std::string& path);
// The next name but "." and ".."; nullptr at the end, with errno 0, or on an error.
const char* next_name(DIR* folder);

// Pass: only to get to what is in it by name, which needs no right to read. Read: to list or sync.
enum class For { Pass, Read };

// The folder itself; a link to one will do, the operator may have set it.
Result<FileDescriptor> open_folder(const std::string& path, For use);
// The folder that holds this path, made as far as it is absent: 0711, each synced in its parent.
Result<FileDescriptor> make_parent_of(const std::string& path);
// One folder in another, never through a link. Where it is not open, errno says why.
FileDescriptor open_folder_at(int folder, const std::string& name, For use);

enum class Absent { Tell, Make };  // Make: 0700, until its maker says otherwise.

// Finds the folder of each name in a tree. Remembers the last one: sorted names come in groups.
class TreeFolders {
public:
    // `path` is for messages; `root` stays its owner's.
    TreeFolders(int root, std::string path) : root_(root), path_(std::move(path)) {}

    // The descriptor of the folder that holds `name`, valid until the next call. -1: there is none;
    // a file or a link where a folder should be counts as none, as git sees it.
    Result<int> holder_of(std::string_view name, Absent absent);
    // The folders that were made, parents first.
    const std::vector<std::string>& made() const { return made_; }
    std::string full(std::string_view name) const { return path_ + "/" + std::string(name); }

private:
    Result<FileDescriptor> step(int folder, std::string_view name, Absent absent);

    int root_;
    std::string path_;
    std::string last_name_;  // Of last_, where that is open.
    FileDescriptor last_;
    std::vector<std::string> made_;
};

}  // namespace thole::os
