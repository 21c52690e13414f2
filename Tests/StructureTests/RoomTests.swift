import Testing

@Suite("Folders are rooms")
struct RoomTests {
    /// A circle that is allowed for now.
    struct Exception {
        let module: String
        let rooms: [String]
        let reason: String
    }

    static let exceptions: [Exception] = [
        Exception(
            module: "RBDBackend", rooms: [".", "Gateway", "Ownership"],
            reason: """
                The Ceph wrappers, the exclusive lock and the backend are one module still: the lock reopens images through \
                the backend, and the wrappers lie loose beside it. Each is to become a module of its own.
                """)
    ]

    static let modules = (try? Manifest())?.targets.filter { $0.path.hasPrefix("Sources/") } ?? []

    @Test("The folders of a module use each other one way only", arguments: modules.map(\.name))
    func circles(_ name: String) throws {
        let module = try #require(Self.modules.first { $0.name == name })
        let rooms = try Rooms(of: module.path)
        let allowed = Self.exceptions.filter { $0.module == name }.map(\.rooms)
        for circle in rooms.circles where !allowed.contains(circle) {
            Issue.record(
                """
                The folders \(circle) of \(name) use each other in a circle. Move a type to the folder that it belongs to, or \
                what both need to a third one.
                \(rooms.explanation(of: circle))
                """)
        }
        for rooms in allowed.filter({ !rooms.circles.contains($0) }) {
            Issue.record("\(name) has no circle of just \(rooms) any more: correct or remove its exception")
        }
    }

    @Test("Every exception is about a module that is there, and says why")
    func exceptionsAreUseful() {
        for exception in Self.exceptions {
            #expect(Self.modules.contains { $0.name == exception.module })
            #expect(!exception.reason.isEmpty)
        }
    }

    // MARK: - The scanner itself

    @Test(
        "Which circles there are",
        arguments: [
            (["a/1": "struct A { let b: B }", "b/1": "struct B {}"], []),
            (["a/1": "struct A { let b: B }", "b/1": "struct B { let a: A? }"], [["a", "b"]]),
            (["1": "struct A { let b: B }", "b/1": "struct B { let a: A? }"], [[".", "b"]]),
            (["a/1": "struct A { let b: B }", "a/2": "struct B { let a: A? }"], []),
            (["a/1": "struct A {}", "b/1": "struct B {}\nextension A {}", "a/2": "let b = B()"], [["a", "b"]]),
            (
                ["a/1": "struct A { let b: B }", "b/1": "enum B { case c(C) }", "c/1": "class C { var a: A? }"],
                [["a", "b", "c"]]
            ),
            (
                [
                    "a/1": "struct A { let b: B }", "b/1": "struct B { let a: A }",
                    "c/1": "struct C { let a: A; let d: D }",
                    "d/1": "struct D { let c: C }",
                ], [["a", "b"], ["c", "d"]]
            ),
            (["a/1": "struct A { let b: B }", "a/b/1": "struct B { let a: A? }"], [["a", "a/b"]]),
            // Not in comments and texts.
            (["a/1": "struct A { let b: B }", "b/1": "/// As A.\nstruct B { let a = \"A\" }"], []),
            (["a/1": "struct A { let b: B }", "b/1": "struct B { let a = \"\"\"\n  A \" A\n  \"\"\" }"], []),
            // What is private, or inside another type, is nobody else's.
            (["a/1": "private struct C {}\nstruct A { let b: B }", "b/1": "struct B { let c: C }"], []),
            (["a/1": "struct A {\n    struct C {}\n    let b: B }", "b/1": "struct B { let c: C }"], []),
        ] as [([String: String], [[String]])])
    func circlesOf(_ row: (files: [String: String], circles: [[String]])) {
        let files = row.files.sorted { $0.key < $1.key }.map { path, text in
            (path: path, lines: text.split(separator: "\n", omittingEmptySubsequences: false))
        }
        #expect(Rooms(files).circles == row.circles)
    }

    @Test(
        "Which types a line declares",
        arguments: [
            ("struct A {", "A"), ("public final class B: C {", "B"), ("@MainActor public enum D<T> {", "D"),
            ("public protocol E: ~Copyable {", "E"), ("typealias F = Int", "F"), ("package actor G {", "G"),
            ("private struct H {", nil), ("fileprivate enum I {", nil), ("    struct J {", nil),
            ("extension K {", nil),
            ("func struct() {", nil), ("// struct L", nil), ("", nil),
        ] as [(Substring, Substring?)])
    func declarations(_ row: (line: Substring, type: Substring?)) {
        #expect(declaredType(in: row.line) == row.type)
    }
}
