// Words that the tests of the reader share: a manifest that is right, and what is said of one that
// is wrong.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "manifest/read.h"

namespace thole::manifest {

inline std::string listed(const std::vector<Finding>& findings) {
    std::string text;
    for (const Finding& finding : findings) {
        text += std::to_string(finding.line) + ":" + std::to_string(finding.column) + ": " +
                finding.message;
        if (!finding.hint.empty()) text += " | " + finding.hint;
        text += "\n";
    }
    return text;
}

inline model::Manifest good(const std::string& text) {
    Reading reading = read_manifest(text);
    EXPECT_EQ(listed(reading.findings), "") << text;
    return reading.manifest.value_or(model::Manifest{});
}

// Keys of one service `web`, each at column 5 from line 4 on.
inline std::string of_service(const std::string& keys) {
    std::string text = "name: shop\nservices:\n  web:\n";
    std::size_t begin = 0;
    while (begin < keys.size()) {
        const std::size_t end = std::min(keys.find('\n', begin), keys.size());
        text += "    " + keys.substr(begin, end - begin) + "\n";
        begin = end + 1;
    }
    return text;
}

inline model::ServiceSpec good_service(const std::string& keys) {
    model::Manifest manifest = good(of_service("run: ./web\n" + keys));
    return manifest.services.empty() ? model::ServiceSpec{} : manifest.services.front();
}

struct Refusal {
    std::string text;
    std::string findings;  // "line:column: message | hint\n" of each.
};

inline void expect_refused(const std::vector<Refusal>& refusals) {
    for (const Refusal& refusal : refusals) {
        const Reading reading = read_manifest(refusal.text);
        EXPECT_EQ(listed(reading.findings), refusal.findings) << refusal.text;
        EXPECT_FALSE(reading.manifest.has_value()) << refusal.text;
    }
}

// The first finding of a service with these keys after `run`, which stands in line 4.
struct Wrong {
    std::string keys;
    std::string finding;
};

inline void expect_wrong(const std::vector<Wrong>& wrongs) {
    for (const Wrong& wrong : wrongs) {
        const Reading reading = read_manifest(of_service("run: ./web\n" + wrong.keys));
        EXPECT_EQ(listed(reading.findings), wrong.finding + "\n") << wrong.keys;
        EXPECT_FALSE(reading.manifest.has_value()) << wrong.keys;
    }
}

}  // namespace thole::manifest
