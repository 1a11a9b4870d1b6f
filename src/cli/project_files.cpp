#include "cli/project_files.h"

#include <algorithm>

namespace thole::cli {
namespace {

constexpr std::string_view kOwn = ".thole";

bool is_own(const std::string& name) {
    return name.compare(0, kOwn.size(), kOwn) == 0 &&
           (name.size() == kOwn.size() || name[kOwn.size()] == '/');
}

Status collect(Outside& outside, const std::string& root, const std::string& inside,
               std::vector<std::string>& out) {
    const std::string folder = inside.empty() ? root : root + "/" + inside;
    const std::optional<std::vector<std::string>> listed = TRY(outside.git_files(folder));
    // None: a folder that a repository around it ignores. It is a project all the same.
    const bool counts = listed && !listed->empty();
    Result<std::vector<std::string>> names = counts ? *listed : outside.all_files(folder);
    if (!names.ok()) return std::move(names).error();
    for (std::string name : *names) {
        while (!name.empty() && name.back() == '/') name.pop_back();
        if (name.empty() || name == "." || is_own(name)) continue;
        const std::string whole = inside.empty() ? name : inside + "/" + name;
        if (outside.is_folder(root + "/" + whole)) {
            TRY(collect(outside, root, whole, out));
        } else {
            out.push_back(whole);
        }
    }
    return success();
}

}  // namespace

Result<std::vector<std::string>> list_files(Outside& outside, const std::string& folder) {
    std::vector<std::string> out;
    TRY(collect(outside, folder, {}, out));
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
}

}  // namespace thole::cli
