#include "model/manifest.h"

namespace thole::model {

std::string url_variable(const std::string& service) {
    std::string name;
    for (const char c : service) {
        if ('a' <= c && c <= 'z') {
            name += static_cast<char>(c - 'a' + 'A');
        } else {
            name += c == '-' ? '_' : c;
        }
    }
    return name + "_URL";
}

}  // namespace thole::model
