// Hosts, paths and networks of `public`, and services that share a port.
#include <gtest/gtest.h>

#include <string>

#include "manifest/reading_test.h"

namespace thole::manifest {

namespace {

// Behind another proxy: whom it believes, and which of several services answers.
TEST(PublicSide, ReadsHostsPathsAndTrust) {
    const model::Manifest manifest = good(R"(
name: shop
services:
  web:
    run: ./web
    public:
      port: 8080
      tls: none
      trust: [10.0.0.0/8, 127.0.0.1, 127.0.0.1/32, 0.0.0.0/0]
      hosts: [Shop.Example.COM., "*.example.com", a_b.c-d]
      path: /v1/
  api: {run: ./api, public: {port: 8080, path: /, trust: [0.0.0.0/0, 127.0.0.1, 10.0.0.0/8]}}
  twin:
    run: ./twin
    public: {port: 8080, hosts: [twin.com], trust: [0.0.0.0/0, 10.0.0.0/8, 127.0.0.1]}
)");
    const model::PublicSpec web = {.port = 8080,
                                   .trust = {{0, 0}, {0x0a000000, 8}, {0x7f000001, 32}},
                                   .hosts = {"shop.example.com", "*.example.com", "a_b.c-d"},
                                   .path = "/v1"};
    EXPECT_EQ(manifest.services[0].at_public, web);
    EXPECT_EQ(manifest.services[1].at_public->path, "");
    EXPECT_TRUE(manifest.services[1].at_public->hosts.empty());
}

TEST(PublicSide, RefusesHostsThatNobodyCanAskFor) {
    const std::string host = " is not the name of a host | ";
    const std::string example = R"(hosts: [shop.example.com, "*.example.com"])";
    expect_wrong({
        {"public: {port: 80, hosts: shop.example.com}",
         "5:31: 'hosts' must be a list of host names, not a text"},
        {"public: {port: 80, hosts: []}",
         "5:31: 'hosts' has none: nobody would be served | remove it: then every host is meant"},
        {"public: {port: 80, hosts: [7]}", "5:32: an item here must be a text, not a number"},
        {"public: {port: 80, hosts: ['*']}",
         "5:32: '*'" + host + "remove 'hosts': then every host is meant"},
        {"public: {port: 80, hosts: ['*.*.a']}", "5:32: '*.*.a'" + host + example},
        {"public: {port: 80, hosts: ['a.*.b']}", "5:32: 'a.*.b'" + host + example},
        {"public: {port: 80, hosts: [a..b]}", "5:32: 'a..b'" + host + example},
        {"public: {port: 80, hosts: ['']}", "5:32: ''" + host + example},
        {"public: {port: 80, hosts: [-a.b]}", "5:32: '-a.b'" + host + example},
        {"public: {port: 80, hosts: [\"a:80\"]}",
         "5:32: 'a:80'" + host + "only the name; the port stands beside it"},
        {"public: {port: 80, hosts: [\"http://a\"]}",
         "5:32: 'http://a'" + host + "hosts: [shop.example.com], and path: /api beside it"},
        {"public: {port: 80, hosts: [b\xc3\xbc.de]}",
         "5:32: 'b\xc3\xbc.de'" + host + "write its ASCII form, which begins with xn--"},
        {"public: {port: 80, hosts: [a, b, A.]}", "5:38: 'A.' stands here twice | remove one"},
        {"public: {port: 80, host: a}", "5:24: unknown key 'host' | did you mean 'hosts'"},
    });
    // To YAML a star begins an alias.
    const Reading star = read_manifest("name: s\nservices: {a: {public: {hosts: [*.a.b]}}}");
    ASSERT_EQ(star.findings.size(), 1U);
    EXPECT_EQ(star.findings[0].hint, R"(put the text in quotes: "*.example.com")");
    const std::string label(64, 'a');
    expect_wrong({{"public: {port: 80, hosts: [" + label + "]}",
                   "5:32: '" + label.substr(0, 60) + "…'" + host + example}});
}

TEST(PublicSide, RefusesPrefixesWithSeveralSpellings) {
    for (const char* path : {"api", "", "/a/../b", "/./a", "/..", "//a", "/a//b", "/a%2fb", "/a b",
                             "/a?b", "/\xc3\xbc", "/a;b"}) {
        expect_wrong({{"public: {port: 80, path: \"" + std::string(path) + "\"}",
                       "5:30: 'path': '" + std::string(path) +
                           "' is no prefix of paths: '/', then segments of letters, digits and "
                           "'-._~', at most 255 bytes | path: /api, which is /api and all below "
                           "it"}});
    }
    expect_wrong({{"public: {port: 80, path: 7}", "5:30: 'path' must be a text, not a number"}});
    EXPECT_EQ(good_service("public: {port: 80, path: /" + std::string(254, 'a') + "}")
                  .at_public->path.size(),
              255U);
}

TEST(PublicSide, RefusesNetworksThatAreNone) {
    const std::string no_network = " is no network of IPv4 | trust: [127.0.0.1, 10.0.0.0/8]";
    expect_wrong({
        {"public: {port: 80, trust: 127.0.0.1}",
         "5:31: 'trust' must be a list of networks, not a text"},
        {"public: {port: 80, trust: [10.0.0.0/33]}", "5:32: '10.0.0.0/33'" + no_network},
        {"public: {port: 80, trust: [10.0.0.0/]}", "5:32: '10.0.0.0/'" + no_network},
        {"public: {port: 80, trust: [10.0.0/8]}", "5:32: '10.0.0/8'" + no_network},
        {"public: {port: 80, trust: [256.0.0.1]}", "5:32: '256.0.0.1'" + no_network},
        {"public: {port: 80, trust: [localhost]}", "5:32: 'localhost'" + no_network},
        {"public: {port: 80, trust: [10]}",
         "5:32: an item here must be a network such as 10.0.0.0/8, not a number"},
        {"public: {port: 80, trust: [10.1.2.3/8]}",
         "5:32: '10.1.2.3/8' names one address of a network of 8 bits | 10.0.0.0/8 for all of it"},
        {"public: {port: 80, trust: ['fd00::/8']}",
         "5:32: not yet: 'fd00::/8': nobody comes by IPv6, public ports are IPv4's | remove it"},
    });
    std::string many = "127.0.0.0";
    for (int i = 1; i <= 64; ++i) many += ", 127.0.0." + std::to_string(i);
    expect_wrong({{"public: {port: 80, trust: [" + many + "]}",
                   "5:31: 'trust' has more than 64 networks | write one larger network for "
                   "several"}});
}

// Who shares a port and believes different proxies would believe a stranger for the other.
TEST(PublicSide, RefusesServicesThatDoNotAgreeOnTheirPort) {
    const auto two = [](const std::string& a, const std::string& b) {
        return "name: s\nservices:\n  a: {run: a, public: {port: 80" + a +
               "}}\n  b: {run: b, public: {port: 80" + b + "}}\n";
    };
    const std::string other = " | another host, path or port for one of them\n";
    expect_refused({
        {two(", hosts: [x]", ", hosts: [y, X]"),
         "4:41: services 'a' and 'b' both answer at port 80 for 'x'" + other},
        {two(", path: /a", ", path: /a/"),
         "4:23: services 'a' and 'b' both answer at port 80 for any host with path '/a'" + other},
        {two(", hosts: [x]", ", hosts: [y], trust: [127.0.0.1]"),
         "4:53: 'trust' of port 80 is not what service 'a' says | the same 'trust' for both, or a "
         "port for each\n"},
        {two(", hosts: [x], trust: [127.0.0.1]", ", hosts: [y]"),
         "4:23: 'trust' of port 80 is not what service 'a' says | the same 'trust' for both, or a "
         "port for each\n"},
        {two(", hosts: [x], bind: 0.0.0.0", ", hosts: [y]"),
         "4:23: 'bind' of port 80 is not what service 'a' says | the same 'bind' for both, or a "
         "port for each\n"},
    });
    good(two(", hosts: [x]", ", hosts: [x], path: /a"));
    good(two("", ", hosts: [x]"));
    good(two(", path: /a", ", path: /A"));
}

TEST(PublicSide, RefusesMoreRoutesThanTheEdgeHas) {
    std::string text = "name: s\nservices:\n";
    for (int service = 0; service < 2; ++service) {
        text += "  s" + std::to_string(service) + ": {run: a, public: {port: 80, hosts: [h";
        for (int host = 1; host < 512; ++host)
            text += ", h" + std::to_string(1000 * service + host);
        text += service == 0 ? "]}}\n" : "], path: /x}}\n";
    }
    EXPECT_TRUE(read_manifest(text).manifest.has_value());
    const Reading more = read_manifest(text + "  t: {run: a, public: 81}\n");
    ASSERT_EQ(more.findings.size(), 1U);
    EXPECT_EQ(more.findings[0].message, "more than 1024 hosts and paths");
}

}  // namespace
}  // namespace thole::manifest
