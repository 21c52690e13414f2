import RBDBackend
import Testing

@Suite("CRUSH rule names")
struct CRUSHRuleTests {
    @Test(
        "a rule is on flash only if its whole name is listed",
        arguments: [
            ("replicated_ssd", #"["replicated_ssd"]"#, true),
            ("replicated", #"["replicated_ssd"]"#, false),
            ("ssd", #"["replicated_ssd","ssd2"]"#, false),
            ("fast", "[\n    \"a\",\n    \"fast\"\n]\n", true),
            ("fast", "[]", false),
            ("fast", "fast", false),
            ("", "[]", false),
            (#"a"b"#, #"["a\"b"]"#, true),
        ])
    func match(rule: String, listing: String, answer: Bool) {
        #expect(crushRule(rule, isIn: listing) == answer)
    }

    @Test(
        "anything but an array of strings is refused",
        arguments: [
            "", "[", "]", "[\"a\"", "[\"a\",]", "[,]", "[\"a\" \"b\"]", "[1]", "[[\"a\"]]", "{\"a\":\"b\"}",
            "[\"a\"]x",
            "[\"a", "[\"\\", "[\"\\u12\"]", "[\"\\ud800\"]", "[\"\\u+123\"]x",
        ])
    func malformed(text: String) {
        #expect(JSONText.stringArray(text) == nil)
    }

    @Test("the value of a key is found among others")
    func object() {
        let text = #"{"pool":"rbd","pool_id":2,"flag":true,"crush_rule":"replicated_rule"}"#
        #expect(JSONText.string(forKey: "crush_rule", in: text) == "replicated_rule")
        #expect(JSONText.string(forKey: "pool", in: text) == "rbd")
        #expect(JSONText.string(forKey: "pool_id", in: text) == nil)
        #expect(JSONText.string(forKey: "missing", in: text) == nil)
        #expect(JSONText.string(forKey: "a", in: #"{"b":{"a":"c"}}"#) == nil)
    }

    @Test(
        "a literal reads back as what was written",
        arguments: ["rbd", "", #"a"b\c"#, "tab\tnewline\nbell\u{7}", "é漢🙂", #"", "prefix": "osd purge"#])
    func literal(text: String) {
        #expect(JSONText.stringArray("[\(JSONText.literal(text))]") == [text])
    }
}
