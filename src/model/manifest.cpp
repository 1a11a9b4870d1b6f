#include "model/manifest.h"

namespace thole::model {

std::string url_variable(const std::string& service) {
    std::string variable;
    for (const char c : service) {
        const bool is_small = c >= 'a' && c <= 'z';
        variable += c == '-' ? '_' : is_small ? static_cast<char>(c - 'a' + 'A') : c;
    }
    return variable + "_URL";
}

}  // namespace thole::model
