#include "manifest/read.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "manifest/reading_test.h"

namespace thole::manifest {

namespace {

using namespace std::chrono_literals;
using model::PortUse;

TEST(ReadManifest, ReadsEveryKeyThatWorksToday) {
    const model::Manifest manifest = good(R"(
name: shop
services:
  web:
    path: ./sites/web/
    build: [npm, ci, --jobs, 4]
    run: node server.js && echo done
    public: {port: 8080, bind: 0.0.0.0, tls: none}
    calls: [orders, orders-worker-2]
    env: {LOG_LEVEL: info, RATE: 1.50, MASK: 0x1F, ON: true, NO: no, EMPTY: "", _a1: "7"}
    health: {ready: /readyz?full=1, startup: 90s}
    scale: 64
    stop: {grace: 500ms}
    user: app
  orders: {run: ./orders, port: 3000, user: root}
  orders-worker-2: {path: ., run: ["./worker"], state: 2Gi}
  mailer: {run: ./mailer, port: none, scale: 3}
)");
    ASSERT_EQ(manifest.services.size(), 4u);
    EXPECT_EQ(manifest.name, "shop");
    const model::ServiceSpec web = {
        .name = "web",
        .path = "sites/web",
        .build = {.words = {"npm", "ci", "--jobs", "4"}},
        .run = {.words = {"node server.js && echo done"}, .is_shell = true},
        .at_public = model::PublicSpec{.port = 8080, .bind = "0.0.0.0"},
        .calls = {"orders", "orders-worker-2"},
        .environment = {{"LOG_LEVEL", "info"},
                        {"RATE", "1.50"},
                        {"MASK", "0x1F"},
                        {"ON", "true"},
                        {"NO", "no"},
                        {"EMPTY", ""},
                        {"_a1", "7"}},
        .health = {.ready = "/readyz?full=1", .startup = 90s},
        .scale = 64,
        .stop_grace = 500ms,
        .state_bytes = 0,
        .user = "app"};
    EXPECT_EQ(manifest.services[0], web);
    const model::ServiceSpec orders = {.name = "orders",
                                       .path = "orders",
                                       .build = {},
                                       .run = {.words = {"./orders"}, .is_shell = true},
                                       .port_use = PortUse::Fixed,
                                       .port = 3000,
                                       .at_public = {},
                                       .calls = {},
                                       .environment = {},
                                       .health = {},
                                       .user = "root"};
    EXPECT_EQ(manifest.services[1], orders);
    EXPECT_EQ(manifest.services[2].path, ".");
    EXPECT_EQ(manifest.services[2].run, (model::Command{.words = {"./worker"}}));
    EXPECT_EQ(manifest.services[2].state_bytes, std::int64_t{2} << 30);
    EXPECT_EQ(manifest.services[3].port_use, PortUse::None);
    EXPECT_EQ(manifest.services[3].scale, 3);
}

TEST(ReadManifest, FillsInTheDocumentedDefaults) {
    const model::ServiceSpec web = good_service("");
    EXPECT_EQ(web.path, "web");
    EXPECT_TRUE(web.build.empty());
    EXPECT_EQ(web.port_use, PortUse::Given);
    EXPECT_FALSE(web.at_public.has_value());
    EXPECT_EQ(web.health, model::HealthSpec{});
    EXPECT_EQ(web.health.startup, model::kStartupLimit);
    EXPECT_EQ(web.stop_grace, model::kStopGrace);
    EXPECT_EQ(web.scale, 1);
    EXPECT_EQ(good_service("public: 8080").at_public->bind, "127.0.0.1");
}

TEST(ReadManifest, TakesTheSameInOtherLayouts) {
    const std::string expected = "./web --port 8080";
    for (const char* text :
         {"{name: shop, services: {web: {run: ./web --port 8080}}}",
          "\xef\xbb\xbfname: shop\r\nservices:\r\n  web:\r\n    run: ./web --port 8080\r\n",
          "%YAML 1.2\n--- # A shop\n\"name\": 'shop'\nservices: {web: {run: \"./web --port "
          "8080\"}}\n...\n",
          "name: shop\nservices:\n  web:\n    run: >-\n      ./web\n      --port 8080\n"}) {
        const model::Manifest manifest = good(text);
        ASSERT_EQ(manifest.services.size(), 1u) << text;
        EXPECT_EQ(manifest.services[0].run.words.at(0), expected);
    }
}

TEST(ReadManifest, SaysEverythingThatIsWrongAtOnce) {
    expect_refused({{R"(name: Shop
services:
  web:
    run: node server.js
    scael: 2
    calls: [ordres]
  orders:
    scale: 65
jbos: {}
)",
                     "1:7: 'Shop' is not a name: 1 to 63 of a-z, 0-9 and '-', starting with a "
                     "letter, not ending in '-' | name: shop\n"
                     "5:5: unknown key 'scael' | did you mean 'scale'\n"
                     "6:13: there is no service 'ordres' | did you mean 'orders'\n"
                     "7:3: service 'orders' does not say how to run it | run: node server.js\n"
                     "8:12: 'scale': 65 is out of range: 1 to 64\n"
                     "9:1: unknown key 'jbos' | one of name, services\n"}});
}

TEST(ReadManifest, RefusesWhatIsNoManifest) {
    const std::string empty =
        "1:1: the manifest is empty | name: shop, and services: {web: {run: node server.js}}\n";
    const std::string no_services =
        "1:1: the key 'services' is missing | services: {web: {run: node server.js}}\n";
    expect_refused({
        {"", empty},
        {"---\n",
         "2:1: the manifest is empty | name: shop, and services: {web: {run: node "
         "server.js}}\n"},
        {"---",
         "1:4: the manifest is empty | name: shop, and services: {web: {run: node server.js}}\n"},
        {"~", empty},
        {"[web]", "1:1: a manifest is a map of keys, not a list | name: shop\n"},
        {"web", "1:1: a manifest is a map of keys, not a text | name: shop\n"},
        {"name: shop", no_services},
        {"{name: shop, services: }", "1:14: 'services' has none | web: {run: node server.js}\n"},
        {"name: shop\nservices: {}", "2:1: 'services' has none | web: {run: node server.js}\n"},
        {"name: shop\nservices: [web]", "2:11: 'services' must be a map of services, not a list\n"},
        {"services: {web: {run: a}}", "1:1: the key 'name' is missing | name: shop\n"},
        {"name: 5\nservices: {web: {run: a}}", "1:7: 'name' must be a text, not a number\n"},
        {"name: shop\nservices:\n  web:\n",
         "3:3: service 'web' does not say how to run it | run: node server.js\n"},
        {"name: shop\nservices: {web: ./web}", "2:17: 'web' must be a map of keys, not a text\n"},
        {"name: shop\nservices: {Web: {run: a}}",
         "2:12: 'Web' is not a name: 1 to 63 of a-z, 0-9 and '-', starting with a letter, not "
         "ending in '-'\n"},
    });
}

// YAML that has brought systems down, or only looks right: each with its place.
TEST(ReadManifest, RefusesWhatPeopleMisreadInYaml) {
    expect_refused({
        {"name: shop\nname: shop\nservices: {web: {run: a}}",
         "2:1: the key 'name' stands in line 1 already\n"},
        {"name: shop\nservices:\n  web: {run: a}\n  web: {run: b}\n",
         "4:3: the key 'web' stands in line 3 already\n"},
        {"name: &n shop\nservices: {web: {run: a}}",
         "1:7: anchors and aliases are not taken: '&n' | write it out\n"},
        {"name: shop\nservices:\n  web: &w {run: a}\n  api:\n    <<: *w\n    run: b\n",
         "3:8: anchors and aliases are not taken: '&w' | write it out\n"
         "5:9: anchors and aliases are not taken: '*w' | write it out\n"},
        {"name: !!str shop\nservices: {web: {run: a}}",
         "1:7: tags such as !!str are not taken | put a text in quotes\n"},
        {"%TAG ! tag:x,2026:\n---\nname: shop\nservices: {web: {run: a}}",
         "1:1: tags such as !!str are not taken | put a text in quotes\n"},
        {"name: shop\nservices: {web: {run: a}}\n---\nname: other\n",
         "3:1: a second document: a manifest is one | remove the line '---'\n"},
        {"name: shop\nservices:\n\tweb: {run: a}\n",
         "3:1: a tab cannot indent | indent with spaces\n"},
        {"name: shop\nservices:\n  web: {run: a\n",
         "4:1: not YAML: did not find expected ',' or '}' while parsing a flow mapping\n"},
        {"name: shop\r\nservices: {web: {run: ä",
         "2:24: not YAML: did not find expected ',' or '}' while parsing a flow mapping\n"},
        {"name: shop: b\n",
         "1:11: not YAML: mapping values are not allowed in this context | indent with care; a "
         "text with ': ' in it needs quotes\n"},
        {"name: sh\xffop\n", "1:9: not a text in UTF-8: invalid leading UTF-8 octet\n"},
        {std::string("name: sh\0op\n", 12),
         "1:9: not a text in UTF-8: control characters are not allowed\n"},
        {"name: shop\n? [a, b]\n: 1\nservices: {web: {run: a}}",
         "2:3: a key is a text, not a list\n"},
        {"name: shop\nservices: {web: {run: \"a\\0b\"}}", "2:23: a text cannot hold a zero byte\n"},
    });
}

TEST(ReadManifest, RefusesABombWithoutUnfoldingIt) {
    const std::string wide(kTextBytesMax + 1, ' ');
    expect_refused(
        {{wide, "1:1: 262145 bytes; a manifest has at most 262144\n"},
         {"a: " + std::string(100'000, '['), "1:67: nested more than 64 deep\n"},
         {"a: " + std::string(63, '[') + std::string(63, ']'),
          "1:1: unknown key 'a' | one of name, services\n"
          "1:1: the key 'name' is missing | name: shop\n"
          "1:1: the key 'services' is missing | services: {web: {run: node server.js}}\n"}});
}

TEST(ReadManifest, CountsFindingsThatNobodyWouldRead) {
    std::string text = "name: shop\nservices: {web: {run: a}}\n";
    for (int i = 0; i < 5000; ++i) text += "key" + std::to_string(i) + ": 1\n";
    const Reading reading = read_manifest(text);
    ASSERT_EQ(reading.findings.size(), kFindingsMax + 1);
    EXPECT_EQ(reading.findings.back().message, "and 4900 more findings");
}

TEST(ReadManifest, RefusesDocumentedKeysThatAreNotBuiltYet) {
    for (const char* key :
         {"jobs", "externals", "events", "telemetry", "alerts", "chaos", "environments"}) {
        expect_refused(
            {{"name: shop\nservices: {web: {run: a}}\n" + std::string(key) + ": {}\n",
              "3:1: not yet: '" + std::string(key) + "' comes in a later version | remove it\n"}});
    }
    for (const char* key :
         {"degrade", "deploy", "limits", "image", "from", "publishes", "consumes"}) {
        expect_wrong({{std::string(key) + ": x", "5:5: not yet: '" + std::string(key) +
                                                     "' comes in a later version | remove it"}});
    }
    // What it would bring is not asked for a second time.
    expect_refused({{"name: shop\nservices:\n  a: {run: a}\n  b: {from: a}\n",
                     "4:7: not yet: 'from' comes in a later version | remove it\n"}});
}

TEST(ReadManifest, TakesHowOftenAServiceMayFail) {
    EXPECT_EQ(good_service("").failures_allowed, 0);
    EXPECT_EQ(good_service("slo: {availability: 99.9%}").failures_allowed, 1000);
    EXPECT_EQ(good_service("slo: {availability: 90%}").failures_allowed, 100'000);
    EXPECT_EQ(good_service("slo: {availability: 99.9999%}").failures_allowed, 1);
    EXPECT_EQ(good_service("slo: {availability: 99.05%}").failures_allowed, 9500);
    for (const std::string text :
         {"99.9", "100%", "89.9%", "99.99999%", "99.%", ".9%", "9.9%", "99,9%", "x%", "99.-1%"}) {
        expect_wrong({{"slo: {availability: '" + text + "'}",
                       "5:25: 'availability' must be 90% to 99.9999%, not '" + text +
                           "' | availability: 99.9%"}});
    }
    expect_wrong(
        {{"slo: {p99: 250ms}", "5:11: not yet: 'p99' comes in a later version | remove it"},
         {"slo: {avail: 99%}", "5:11: unknown key 'avail' | one of availability"},
         {"slo: 99%", "5:10: 'slo' must be a map of keys, not a text"}});
}

TEST(ReadManifest, RefusesPathsThatLeaveTheFolder) {
    const std::string end = " is no path inside the manifest's folder | path: ./web";
    expect_wrong({{"path: ../web", "5:11: 'path': '../web'" + end},
                  {"path: a/../../b", "5:11: 'path': 'a/../../b'" + end},
                  {"path: /srv/web", "5:11: 'path': '/srv/web'" + end},
                  {"path: ''", "5:11: 'path': ''" + end},
                  {"path: [a]", "5:11: 'path' must be a text, not a list"}});
    EXPECT_EQ(good_service("path: .//a/./b..c//").path, "a/b..c");
}

TEST(ReadManifest, RefusesCommandsWithoutAProgram) {
    expect_wrong({{"build: ' '", "5:12: 'build' has no program | build: node server.js"},
                  {"build: []", "5:12: 'build' has no program | build: [node, server.js]"},
                  {"build: ['', a]", "5:12: 'build' has no program | build: [node, server.js]"},
                  {"build: [a, [b]]",
                   "5:16: an item here must be a text, a number, true or false, not a list"},
                  {"build: [a, ]\nuser: [a]", "6:11: 'user' must be a text, not a list"},
                  {"build: [a, ~]", "5:16: an item here is empty | write \"\""},
                  {"build: 5",
                   "5:12: 'build' must be a command as text, or a list of its words, not a "
                   "number"}});
}

TEST(ReadManifest, RefusesPortsThatAreNone) {
    const std::string range = " is out of range: 1 to 65535";
    expect_wrong({
        {"port: 0", "5:11: 'port': 0" + range},
        {"port: 65536", "5:11: 'port': 65536" + range},
        {"port: 99999999999999999999", "5:11: 'port': 99999999999999999999" + range},
        {"port: 0x50", "5:11: 'port': '0x50' is not a whole number"},
        {"port: '80'", "5:11: 'port' must be a number, not a text | remove the quotes"},
        {"port: 80.5",
         "5:11: 'port' must be a whole number from 1 to 65535, not a number with a "
         "fraction"},
        {"port: None", "5:11: 'port' must be a number from 1 to 65535, or none, not a text"},
        {"port:", "5:10: 'port' must be a number from 1 to 65535, or none, not nothing"},
        {"public: 0", "5:13: 'public': 0" + range},
        {"public: '80'", "5:13: 'public' must be a number, not a text | remove the quotes"},
        {"public: true", "5:13: 'public' must be a port, or a map with a port, not true or false"},
        {"public: shop.example.com",
         "5:13: not yet: 'shop.example.com': a host without a port needs TLS, which comes later "
         "| public: {port: 8080, hosts: [shop.example.com]}"},
        {"public: {bind: 0.0.0.0}", "5:13: 'public' has no 'port' | public: {port: 8080}"},
        {"public: {port: none}", "5:20: 'port' must be a whole number from 1 to 65535, not a text"},
        {"public: {port: 80, tls: auto}",
         "5:29: not yet: TLS comes in a later version | tls: none"},
        {"public: {port: 80, bnd: 0.0.0.0}", "5:24: unknown key 'bnd' | did you mean 'bind'"},
        {"public: {port: 80, bind: 0.0.0}",
         "5:30: 'bind': '0.0.0' is no IPv4 address | bind: 127.0.0.1, or 0.0.0.0 for all"},
        {"public: {port: 80, bind: 1.2.3.4.5}",
         "5:30: 'bind': '1.2.3.4.5' is no IPv4 address | bind: 127.0.0.1, or 0.0.0.0 for all"},
        {"public: {port: 80, bind: 1.2.3.256}",
         "5:30: 'bind': '1.2.3.256' is no IPv4 address | bind: 127.0.0.1, or 0.0.0.0 for all"},
        {"public: {port: 80, bind: localhost}",
         "5:30: 'bind': 'localhost' is no IPv4 address | bind: 127.0.0.1, or 0.0.0.0 for all"},
    });
}

TEST(ReadManifest, RefusesCallsThatGoNowhere) {
    const std::string rest = "  api: {run: a}\n  mailer: {run: a, port: none}\n";
    const auto calling = [&](const std::string& calls) {
        return "name: shop\nservices:\n  web: {run: a, calls: " + calls + "}\n" + rest;
    };
    expect_refused({
        {calling("[apl]"), "3:25: there is no service 'apl' | did you mean 'api'\n"},
        {calling("[web]"),
         "3:25: 'web' calls itself | remove it; within one service no address is needed\n"},
        {calling("[api, api]"), "3:30: 'api' stands here twice | remove one\n"},
        {calling("[mailer]"), "3:25: 'mailer' has port none: nobody can call it\n"},
        {calling("api"), "3:24: 'calls' must be a list of services, not a text\n"},
        {calling("[7]"), "3:25: an item here must be a text, not a number\n"},
    });
    // A cycle is legal: edge holds what is not ready.
    good("name: s\nservices: {a: {run: a, calls: [b]}, b: {run: b, calls: [a]}}");
}

// Each has a port of its own at the edge.
TEST(ReadManifest, RefusesMorePortsThanTheEdgeHas) {
    std::string text = "name: s\nservices:\n  a: {run: a, public: 8080}\n";
    int ports = 1;
    for (int service = 0; service < 24; ++service) {
        text += "  s" + std::to_string(service) + ": {run: a, calls: [a";
        ++ports;
        for (int other = 0; other < 24; ++other) {
            if (other == service || ports >= 512 - (23 - service)) continue;
            text += ", s" + std::to_string(other);
            ++ports;
        }
        text += "]}\n";
    }
    ASSERT_EQ(ports, 512);
    EXPECT_TRUE(read_manifest(text).manifest.has_value());
    const Reading more =
        read_manifest(text + "  b: {run: b, calls: [a, s0, s1, s2, s3, s4, s5]}\n");
    ASSERT_EQ(more.findings.size(), 1U);
    EXPECT_EQ(more.findings[0].message, "more than 512 public ports and calls");
}

TEST(ReadManifest, RefusesVariablesThatTholeSets) {
    for (const char* name : {"PORT", "HOST", "STATE_DIR"}) {
        expect_wrong(
            {{"env: {" + std::string(name) + ": 1}",
              "5:11: the variable '" + std::string(name) + "' is set by thole | remove it"}});
    }
    expect_refused(
        {{"name: s\nservices:\n  a: {run: a, calls: [b-c], env: {B_C_URL: x}}\n  b-c: {run: b}\n",
          "3:35: the variable 'B_C_URL' is set by thole | remove it\n"}});
    good("name: s\nservices:\n  a: {run: a, env: {B_C_URL: x}}\n  b-c: {run: b}\n");
    const std::string name =
        " is not a name of a variable: A-Z, a-z, 0-9 and '_', not starting with a digit";
    expect_wrong(
        {{"env: {A-B: 1}", "5:11: 'A-B'" + name},
         {"env: {1A: 1}", "5:11: '1A'" + name},
         {"env: {'': 1}", "5:11: ''" + name},
         {"env: {A: }", "5:14: 'A' is empty | write \"\""},
         {"env: {A: [1]}", "5:14: 'A' must be a text, a number, true or false, not a list"},
         {"env: [A=1]", "5:10: 'env' must be a map of variables, not a list"},
         {"env: {A: {secret: a, via: pg}}", "5:15: not yet: secrets come in a later version"}});
}

TEST(ReadManifest, RefusesProbesThatCannotBeSent) {
    const std::string path =
        " is no path of a request: it starts with '/' and has neither blanks nor '#' | ";
    expect_wrong(
        {{"health: {ready: readyz}", "5:21: 'ready': 'readyz'" + path + "ready: /readyz"},
         {"health: {ready: \"/a\\r\\nb\"}", "5:21: 'ready': '/a??b'" + path + "ready: /readyz"},
         {"health: {live: /healthz}", "5:14: not yet: 'live' comes in a later version | remove it"},
         {"health: {startup: 60}", "5:23: 'startup': '60' needs a unit: ms, s, m, h or d"},
         {"health: {startup: 0s}",
          "5:23: 'startup' is how long it may take until it is ready: not 0 | startup: 1m"},
         {"health: {redy: /}", "5:14: unknown key 'redy' | did you mean 'ready'"},
         {"health: /readyz", "5:13: 'health' must be a map of keys, not a text"},
         {"port: none\nhealth: {ready: /}",
          "6:14: 'ready' asks a port, and this service has port none | remove it"}});
}

TEST(ReadManifest, RefusesCopiesThatCannotBe) {
    const std::string copies = "scale: 2\n";
    expect_wrong(
        {{"scale: 0",
          "5:12: 'scale' is 0: the service would never run | scale: 1, or remove the service"},
         {"scale: -1", "5:12: 'scale': -1 is out of range: 1 to 64"},
         {"scale: 2..8",
          "5:12: not yet: '2..8': scaling by itself comes in a later version | scale: 2"},
         {"scale: many", "5:12: 'scale' must be a whole number from 1 to 64, not a text"},
         {copies + "state: 1Mi",
          "5:12: 'scale' is 2, but a service with 'state' has one copy: two would share its "
          "data | scale: 1"},
         {copies + "port: 80",
          "5:12: 'scale' is 2, but a service with a fixed 'port' has one copy: two would share "
          "the port | scale: 1, or listen on $PORT and remove 'port'"}});
}

TEST(ReadManifest, RefusesTwoListenersOnOnePort) {
    expect_refused(
        {{"name: s\nservices:\n  a: {run: a, public: 80}\n  b: {run: b, public: {port: 80}}\n",
          "4:23: services 'a' and 'b' both answer at port 80 for any host | another host, path or "
          "port for one of them\n"},
         {"name: s\nservices:\n  a: {run: a, port: 80}\n  b: {run: b, public: 80}\n",
          "3:21: port 80 is taken by service 'b' | listen on $PORT and remove 'port'\n"},
         {"name: s\nservices:\n  a: {run: a, port: 80, public: 80}\n",
          "3:21: port 80 is the public one: it cannot listen there, too | listen on $PORT and "
          "remove 'port'\n"}});
    expect_wrong({{"port: none\npublic: 80",
                   "6:13: a service with port none cannot be public | remove one of the two"}});
}

TEST(ReadManifest, RefusesSizesTimesAndUsersThatAreNone) {
    expect_wrong(
        {{"state: 5GB", "5:12: 'state': '5GB' needs a unit: Ki, Mi, Gi, Ti, k, M or G"},
         {"state: 0",
          "5:12: 'state' is 0: it could keep nothing | state: 256Mi, or remove the "
          "key"},
         {"state: true", "5:12: 'state' must be a size such as 256Mi, not true or false"},
         {"stop: {grace: 1.5s}", "5:19: 'grace': '1.5s' needs a unit: ms, s, m, h or d"},
         {"stop: {grace: [1s]}", "5:19: 'grace' must be a duration such as 30s, not a list"},
         {"stop: {drain: 1s}", "5:12: unknown key 'drain' | one of grace"},
         {"user: 1000", "5:11: 'user' must be a text, not a number"},
         {"user: a:b", "5:11: 'a:b' is not a name of a user | user: app"},
         {"user: -a", "5:11: '-a' is not a name of a user | user: app"}});
}

// Two services of one variable: the callers of one would reach the other.
TEST(ReadManifest, LeavesNoTwoNamesWithOneVariable) {
    EXPECT_FALSE(
        read_manifest("name: s\nservices: {a-b: {run: a}, a_b: {run: b}}").manifest.has_value());
    EXPECT_EQ(model::url_variable("orders-worker"), "ORDERS_WORKER_URL");
}

TEST(ErrorOf, HasALineForEachFindingAndTheFirstHint) {
    const Error error = error_of({{7, 5, "unknown key 'scael'", "did you mean 'scale'"},
                                  {9, 1, "unknown key 'x'", "one of a, b"},
                                  {9, 3, "no hint", ""}},
                                 "thole.yaml");
    EXPECT_EQ(error.code, Code::Invalid);
    EXPECT_EQ(error.message,
              "thole.yaml:7:5: unknown key 'scael'\n"
              "thole.yaml:9:1: unknown key 'x' (one of a, b)\n"
              "thole.yaml:9:3: no hint");
    EXPECT_EQ(error.hint, "did you mean 'scale'");
}

}  // namespace
}  // namespace thole::manifest
