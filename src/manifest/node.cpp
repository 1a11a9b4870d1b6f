#include "manifest/node.h"

#include <yaml.h>

#include <algorithm>
#include <map>

#include <fmt/format.h>

namespace thole::manifest {

namespace {

Place place_of(const yaml_mark_t& mark) {
    return {.line = static_cast<int>(mark.line) + 1, .column = static_cast<int>(mark.column) + 1};
}

std::string_view text_of(const yaml_char_t* text) {
    return text == nullptr ? std::string_view() : reinterpret_cast<const char*>(text);
}

// How many bytes break a line here, by the library's count: YAML 1.1's, so that places agree.
std::size_t break_bytes_at(std::string_view text) {
    for (const std::string_view form :
         {"\r\n", "\n", "\r", "\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9"}) {
        if (text.substr(0, form.size()) == form) return form.size();
    }
    return 0;
}

// The library has no place for a byte that is no text.
Place place_at(std::string_view text, std::size_t offset) {
    Place place;
    for (std::size_t i = 0; i < offset;) {
        const std::size_t bytes = break_bytes_at(text.substr(i));
        if (bytes > 0) {
            place = {.line = place.line + 1, .column = 1};
        } else if ((text[i] & '\xc0') != '\x80') {
            ++place.column;
        }
        i += std::max<std::size_t>(bytes, 1);
    }
    return place;
}

// What the library says, and what it mostly means.
std::string hint_of(std::string_view problem) {
    static constexpr std::pair<std::string_view, std::string_view> kHints[] = {
        {"mapping values are not allowed in this context",
         "indent with care; a text with ': ' in it needs quotes"},
        {"found character that cannot start any token", "put the text in quotes"},
        {"did not find expected alphabetic or numeric character",
         R"(put the text in quotes: "*.example.com")"},
        {"could not find expected ':'", "write key: value, and indent what belongs to it"},
        {"did not find expected key", "indent the keys of one map alike"},
        {"did not find expected '-' indicator", "indent the items of one list alike"},
        {"found unexpected end of stream", "close the quotes"},
    };
    for (const auto& [known, hint] : kHints) {
        if (problem == known) return std::string(hint);
    }
    return "";
}

class Builder {
public:
    Builder(std::string_view text, Findings& findings)
        : text_(text), end_(place_at(text, text.size())), findings_(findings) {
        CHECK(yaml_parser_initialize(&parser_) != 0);
        yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
        yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()),
                                     text.size());
    }
    ~Builder() {
        yaml_event_delete(&event_);
        yaml_parser_delete(&parser_);
    }
    Builder(const Builder&) = delete;
    Builder& operator=(const Builder&) = delete;

    std::optional<Node> build() {
        Node root;
        bool has_root = false;
        while (next() && event_.type != YAML_STREAM_END_EVENT) {
            if (event_.type == YAML_DOCUMENT_START_EVENT) {
                if (has_root) {
                    findings_.add(place(), "a second document: a manifest is one",
                                  "remove the line '---'");
                    return root;
                }
                refuse_tag_directives();
                if (next()) root = read_node(1);
                has_root = true;
            }
        }
        if (has_failed_) return std::nullopt;
        return root;
    }

private:
    // Events own memory of the library; the one before is given back.
    bool next() {
        yaml_event_delete(&event_);
        event_ = {};
        if (has_failed_) return false;
        if (yaml_parser_parse(&parser_, &event_) != 0) return true;
        has_failed_ = true;
        CHECK(parser_.error != YAML_MEMORY_ERROR);
        say_what_is_wrong();
        return false;
    }

    // The library counts a line more where the last one does not end.
    Place place_within(const yaml_mark_t& mark) const {
        const Place place = place_of(mark);
        return place.line > end_.line ? end_ : place;
    }

    Place place() const { return place_within(event_.start_mark); }

    void say_what_is_wrong() {
        const std::string_view problem = parser_.problem == nullptr ? "" : parser_.problem;
        if (parser_.error == YAML_READER_ERROR) {
            findings_.add(place_at(text_, parser_.problem_offset),
                          fmt::format("not a text in UTF-8: {}", problem));
            return;
        }
        const yaml_mark_t& mark = parser_.problem_mark;
        const Place where = place_within(mark);
        const bool is_tab = mark.index < text_.size() && is_tab_at(mark);
        if (is_tab || problem.find("tab character") != std::string_view::npos) {
            findings_.add(where, "a tab cannot indent", "indent with spaces");
            return;
        }
        const std::string_view context = parser_.context == nullptr ? "" : parser_.context;
        findings_.add(where,
                      fmt::format("not YAML: {}{}{}", problem, context.empty() ? "" : " ", context),
                      hint_of(problem));
    }

    // Marks count characters, so the line is looked for again.
    bool is_tab_at(const yaml_mark_t& mark) const {
        std::size_t begin = 0;
        for (std::size_t line = 0; line < mark.line && begin != std::string_view::npos; ++line) {
            begin = text_.find('\n', begin);
            if (begin != std::string_view::npos) ++begin;
        }
        if (begin == std::string_view::npos) return false;
        const std::string_view line = text_.substr(begin, text_.find('\n', begin) - begin);
        const std::size_t blanks = std::min(line.find_first_not_of(" \t"), line.size());
        return mark.column <= blanks && line.substr(0, blanks).find('\t') != line.npos;
    }

    void refuse_tag_directives() {
        const auto& directives = event_.data.document_start.tag_directives;
        if (directives.start != directives.end) refuse_tag(place());
    }

    void refuse_tag(Place where) {
        findings_.add(where, "tags such as !!str are not taken", "put a text in quotes");
    }

    // Whether nobody can tell what is meant. An anchor's content stands there; a tag may change it.
    bool is_unclear(const yaml_char_t* anchor, const yaml_char_t* tag) {
        if (anchor != nullptr) refuse_anchor(fmt::format("&{}", text_of(anchor)));
        if (tag != nullptr) refuse_tag(place());
        return tag != nullptr;
    }

    void refuse_anchor(std::string_view name) {
        findings_.add(place(), fmt::format("anchors and aliases are not taken: {}", shown(name)),
                      "write it out");
    }

    Node read_node(int depth) {
        Node node;
        node.place = place();
        if (event_.type == YAML_ALIAS_EVENT) {
            refuse_anchor(fmt::format("*{}", text_of(event_.data.alias.anchor)));
            node.kind = Node::Kind::Refused;
        } else if (event_.type == YAML_SCALAR_EVENT) {
            read_scalar(node);
        } else if (depth > kDepthMax) {
            findings_.add(node.place, fmt::format("nested more than {} deep", kDepthMax));
            has_failed_ = true;
        } else if (event_.type == YAML_SEQUENCE_START_EVENT) {
            const auto& start = event_.data.sequence_start;
            const bool unclear = is_unclear(start.anchor, start.tag);
            node.kind = Node::Kind::List;
            while (next() && event_.type != YAML_SEQUENCE_END_EVENT) {
                node.children.push_back(read_node(depth + 1));
            }
            if (unclear) node.kind = Node::Kind::Refused;
        } else if (event_.type == YAML_MAPPING_START_EVENT) {
            const auto& start = event_.data.mapping_start;
            const bool unclear = is_unclear(start.anchor, start.tag);
            node.kind = Node::Kind::Map;
            read_entries(node, depth);
            if (unclear) node.kind = Node::Kind::Refused;
        }
        return node;
    }

    void read_scalar(Node& node) {
        const auto& scalar = event_.data.scalar;
        node.text.assign(reinterpret_cast<const char*>(scalar.value), scalar.length);
        node.is_quoted = scalar.style != YAML_PLAIN_SCALAR_STYLE;
        node.kind = node.is_quoted ? Node::Kind::Text : kind_of_plain(node.text);
        if (is_unclear(scalar.anchor, scalar.tag)) node.kind = Node::Kind::Refused;
        // No argument, variable or path can hold it.
        if (node.text.find('\0') != std::string::npos) {
            findings_.add(node.place, "a text cannot hold a zero byte");
            node.kind = Node::Kind::Refused;
        }
    }

    void read_entries(Node& map, int depth) {
        std::map<std::string, Place> seen;
        while (next() && event_.type != YAML_MAPPING_END_EVENT) {
            const Node key = read_node(depth + 1);
            if (!next()) return;
            Node value = read_node(depth + 1);
            if (key.kind == Node::Kind::Refused) continue;
            if (!key.is_scalar()) {
                findings_.add(key.place, fmt::format("a key is a text, not {}", name_of(key.kind)));
                continue;
            }
            const auto [first, is_new] = seen.emplace(key.text, key.place);
            if (!is_new) {
                findings_.add(key.place, fmt::format("the key {} stands in line {} already",
                                                     shown(key.text), first->second.line));
                continue;
            }
            value.key = key.text;
            value.key_place = key.place;
            map.children.push_back(std::move(value));
        }
    }

    std::string_view text_;
    Place end_;
    Findings& findings_;
    yaml_parser_t parser_;
    yaml_event_t event_{};
    bool has_failed_ = false;  // The rest of the text is not looked at.
};

}  // namespace

std::optional<Node> read_tree(std::string_view text, Findings& findings) {
    if (text.size() > kTextBytesMax) {
        findings.add(
            {}, fmt::format("{} bytes; a manifest has at most {}", text.size(), kTextBytesMax));
        return std::nullopt;
    }
    // Some editors put a byte order mark in front; the library would count it as an indent.
    if (text.substr(0, 3) == "\xef\xbb\xbf") text.remove_prefix(3);
    return Builder(text, findings).build();
}

}  // namespace thole::manifest
