#include "model/manifest.h"

#include <algorithm>

namespace thole::model {

bool have_same_route(const PublicSpec& one, const PublicSpec& other) {
    if (one.path != other.path) return false;
    if (one.hosts.empty() || other.hosts.empty()) return one.hosts.empty() && other.hosts.empty();
    return std::any_of(one.hosts.begin(), one.hosts.end(), [&](const std::string& host) {
        return std::find(other.hosts.begin(), other.hosts.end(), host) != other.hosts.end();
    });
}

std::string url_variable(const std::string& service) {
    std::string variable;
    for (const char c : service) {
        const bool is_small = c >= 'a' && c <= 'z';
        variable += c == '-' ? '_' : is_small ? static_cast<char>(c - 'a' + 'A') : c;
    }
    return variable + "_URL";
}

}  // namespace thole::model
