#include "manifest/read.h"

#include <fmt/format.h>

#include "base/parse.h"
#include "manifest/service.h"
#include "manifest/values.h"

namespace thole::manifest {

namespace {

struct Whole {
    std::string name;
    std::vector<Draft> drafts;
};

void read_name(const Node& node, Whole& whole, Findings& findings) {
    const auto name = read_text(node, findings);
    if (!name) return;
    const Status status = check_name(*name);
    if (!status.ok()) findings.add(node.place, status.error().message, "name: shop");
    whole.name = *name;
}

// check_name leaves no two names that differ and have one variable: neither '_' nor capitals.
void read_services(const Node& node, Whole& whole, Findings& findings) {
    if (node.kind == Node::Kind::Map) {
        for (const Node& child : node.children) {
            if (child.key == "<<" && child.kind == Node::Kind::Refused) continue;
            whole.drafts.push_back(read_service(child, findings));
        }
        if (!node.children.empty()) return;
    } else if (node.kind != Node::Kind::Null) {
        return refuse_kind(node, "a map of services", findings);
    }
    findings.add(node.key_place, "'services' has none", "web: {run: node server.js}");
}

constexpr Field<Whole> kTopFields[] = {
    {"name", read_name},
    {"services", read_services},
    // Documented, and to come.
    {"jobs"},
    {"externals"},
    {"events"},
    {"telemetry"},
    {"alerts"},
    {"chaos"},
    {"environments"},
};

Whole read_whole(const Node& root, Findings& findings) {
    Whole whole;
    if (root.kind == Node::Kind::Null) {
        findings.add(root.place, "the manifest is empty",
                     "name: shop, and services: {web: {run: node server.js}}");
        return whole;
    }
    if (root.kind != Node::Kind::Map) {
        if (root.kind == Node::Kind::Refused) return whole;
        findings.add(root.place,
                     fmt::format("a manifest is a map of keys, not {}", name_of(root.kind)),
                     "name: shop");
        return whole;
    }
    read_fields(root, kTopFields, whole, findings);
    if (root.find("name") == nullptr) {
        findings.add(root.place, "the key 'name' is missing", "name: shop");
    }
    if (root.find("services") == nullptr) {
        findings.add(root.place, "the key 'services' is missing",
                     "services: {web: {run: node server.js}}");
    }
    check_services(whole.drafts, findings);
    return whole;
}

}  // namespace

Reading read_manifest(std::string_view text) {
    Findings findings;
    Reading reading;
    const std::optional<Node> root = read_tree(text, findings);
    if (root) {
        Whole whole = read_whole(*root, findings);
        reading.manifest.emplace().name = std::move(whole.name);
        for (Draft& draft : whole.drafts) {
            reading.manifest->services.push_back(std::move(draft.spec));
        }
    }
    reading.findings = findings.take();
    if (!reading.findings.empty()) reading.manifest.reset();
    return reading;
}

}  // namespace thole::manifest
