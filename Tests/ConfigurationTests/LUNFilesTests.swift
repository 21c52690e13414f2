import Glibc
import SystemPackage
import Testing

@testable import Configuration

/// A directory of files that is gone with its owner.
private struct Directory: ~Copyable {
    let path: String

    init(_ files: [String: String]) throws {
        var template = Array("/tmp/lun-files-test-XXXXXX".utf8CString)
        try #require(mkdtemp(&template) != nil)
        let path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        for (name, text) in files {
            let file = try #require(fopen("\(path)/\(name)", "w"))
            fwrite(text, 1, text.utf8.count, file)
            fclose(file)
        }
        self.path = path
    }

    deinit {
        if let stream = opendir(path) {
            while let entry = readdir(stream) {
                let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                    String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
                }
                unlink("\(path)/\(name)")
            }
            closedir(stream)
        }
        rmdir(path)
    }

    func settings(_ identity: String, _ backstore: String = "disk") -> Result<LUNSettings, LUNFileError> {
        do throws(LUNFileError) {
            return .success(
                try LUNFiles(directory: FilePath(path)).settings(of: identity, backstore: backstore).settings)
        } catch {
            return .failure(error)
        }
    }

    func notes() throws -> [String] {
        try LUNFiles(directory: FilePath(path)).settings(of: "-", backstore: "-").notes
    }

    func problem(_ identity: String) -> String? {
        guard case .failure(let error) = settings(identity), error.errno == .invalidArgument else { return nil }
        return String(error.description.dropFirst(path.count + 1))
    }
}

@Suite("Files with settings for one LUN each")
struct LUNFilesTests {
    static let whole = """
        ---
        # The tenants' images.
        lun: rbd/pool/ns/image@snap   # as in the config string
        encryption:
            format: "luks2"
            passphrase_file: /etc/tcmu/keys/image one
        read_only: true
        portal_group_disable: false
        lock:
          # shorter than usual
          hold_milliseconds: 250
          idle_seconds: 60

        """

    @Test("all keys of a file")
    func allKeys() throws {
        let directory = try Directory(["a.yaml": Self.whole, "b.txt": "nothing", ".c.yaml": ": ["])
        let settings = try directory.settings("rbd/pool/ns/image@snap").get()
        #expect(settings.encryption?.format == .luks2)
        #expect(settings.encryption?.passphraseFile == "/etc/tcmu/keys/image one")
        #expect(settings.readOnly)
        #expect(!settings.disablesPortalGroup)
        #expect(settings.lockHoldMilliseconds == 250)
        #expect(settings.lockIdleSeconds == 60)
        #expect(settings.file == "\(directory.path)/a.yaml")
        #expect(try directory.settings("rbd/pool/ns/image").get() == LUNSettings())
        #expect(try directory.notes() == [])
    }

    @Test("a backstore's name, line ends of other systems, and a file with nothing but the LUN")
    func shortFiles() throws {
        let directory = try Directory(["a.yaml": "lun: 'disk'\r\nread_only: true\r\n", "b.yaml": "lun: rbd/p/i"])
        #expect(try directory.settings("rbd/p/other", "disk").get().readOnly)
        var expected = LUNSettings()
        expected.file = "\(directory.path)/b.yaml"
        #expect(try directory.settings("rbd/p/i", "other").get() == expected)
    }

    @Test("no directory means no settings; one that cannot be read is its errno")
    func noDirectory() throws {
        let directory = try Directory(["file": ""])
        for path in ["\(directory.path)/missing", "\(directory.path)/file"] {
            do throws(LUNFileError) {
                let settings = try LUNFiles(directory: FilePath(path)).settings(of: "rbd/p/i", backstore: "i")
                    .settings
                #expect(settings == LUNSettings() && path.hasSuffix("missing"))
            } catch {
                #expect(error.errno == .notDirectory && path.hasSuffix("file"))
            }
        }
    }

    static let refusals: [(text: String, problem: String)] = [
        ("colour: blue", "a.yaml:2: colour is no key"),
        ("Read_Only: true", "a.yaml:2: Read_Only is no key"),
        ("read_only: yes", "a.yaml:2: read_only: expected true or false"),
        ("read_only: \"true\"", "a.yaml:2: read_only: expected true or false"),
        ("read_only:", "a.yaml:2: read_only: expected true or false"),
        ("read_only: true\nread_only: true", "a.yaml:3: read_only is in line 2 already"),
        ("encryption: luks2", "a.yaml:2: encryption: expected keys of its own"),
        ("encryption:", "a.yaml:2: encryption: expected keys of its own"),
        ("encryption:\n  format: luks2", "a.yaml:2: encryption: expected passphrase_file"),
        ("encryption:\n  passphrase_file: /a", "a.yaml:2: encryption: expected format"),
        ("encryption:\n  format: luks3\n  passphrase_file: /a", "a.yaml:3: format: expected luks1 or luks2"),
        (
            "encryption:\n  format: luks1\n  passphrase_file: a",
            "a.yaml:4: passphrase_file: expected an absolute path"
        ),
        ("encryption:\n  format: luks1\n  size: 1", "a.yaml:4: size is no key of encryption"),
        ("encryption:\n  format: luks1\n   passphrase_file: /a", "a.yaml:4: indented by 3 blanks, expected 2"),
        (
            "lock:\n  hold_milliseconds: 15001",
            "a.yaml:3: hold_milliseconds: expected a whole number from 0 to 15000"
        ),
        (
            "lock:\n  idle_seconds: 86401",
            "a.yaml:3: idle_seconds: expected a whole number from 0 to 86400"
        ),
        ("lock:\n  idle: 1", "a.yaml:3: idle is no key of lock; expected one of hold_milliseconds, idle_seconds"),
        ("lock:\n  hold_milliseconds: 0x10", "a.yaml:3: hold_milliseconds: expected a whole number"),
        ("lock:\n  hold_milliseconds: 010", "a.yaml:3: hold_milliseconds: expected a whole number"),
        ("lock:\n  hold_milliseconds: '10'", "a.yaml:3: hold_milliseconds: expected a whole number"),
        (
            "lock:\n  hold_milliseconds: 99999999999999999999",
            "a.yaml:3: hold_milliseconds: expected a whole number"
        ),
        ("lock:\n\thold_milliseconds: 1", "a.yaml:3: holds a tab"),
        ("lock: {hold_milliseconds: 1}", "a.yaml:2: expected a plain value"),
        ("read_only: &a true", "a.yaml:2: expected a plain value"),
        ("read_only: a: b", "a.yaml:2: expected a plain value"),
        ("  read_only: true", "a.yaml:2: indented below a key that has a value already"),
        ("- read_only", "a.yaml:2: expected key: value"),
        ("read_only:true", "a.yaml:2: expected key: value"),
        ("...", "a.yaml:2: expected key: value"),
        ("---", "a.yaml:2: expected key: value"),
        ("\u{0}", "a.yaml:2: holds a tab or another control character"),
        ("read_only: 'true", "a.yaml:2: expected a closing quote"),
        ("read_only: 'true' no", "a.yaml:2: expected nothing behind"),
        ("encryption:\n  format: \"\\x41\"", "a.yaml:3: expected \\\\ or"),
        (String(repeating: "\n", count: 1000), "a.yaml:1001: expected at most 1000 lines"),
    ]

    @Test("what cannot be used names file and line, and fails this LUN alone", arguments: refusals)
    func refusal(text: String, problem: String) throws {
        let directory = try Directory([
            "a.yaml": "lun: rbd/p/i\n" + text, "b.yaml": "lun: rbd/p/j\nread_only: true",
        ])
        let found = directory.problem("rbd/p/i")
        #expect(found?.hasPrefix(problem) == true, "\(found ?? "accepted")")
        #expect(try directory.settings("rbd/p/j").get().readOnly)
        #expect(try directory.settings("rbd/p/k").get() == LUNSettings())
    }

    @Test("a secret in the file is refused and not repeated", arguments: ["passphrase", "password", "key"])
    func secret(key: String) throws {
        let directory = try Directory(["a.yaml": "lun: rbd/p/i\nencryption:\n  \(key): hunter2\n"])
        let found = directory.problem("rbd/p/i")
        #expect(found?.hasPrefix("a.yaml:3: \(key): expected passphrase_file") == true, "\(found ?? "accepted")")
        #expect(found?.contains("hunter2") == false)
    }

    @Test("two files for one LUN, also by its two names")
    func twice() throws {
        let directory = try Directory([
            "a.yaml": "lun: rbd/p/i", "b.yaml": "# second\nlun: disk", "c.yaml": "lun: rbd/p/j",
        ])
        let found = directory.problem("rbd/p/i")
        #expect(found == "b.yaml:2: this LUN has a file already, \(directory.path)/a.yaml:1")
        #expect(throws: Never.self) { try directory.settings("rbd/p/j", "other").get() }
    }

    @Test(
        "files of which nobody can say whose they are count for none, and are noted",
        arguments: [
            ("", ":1: expected lun:"), ("read_only: true\nlun: rbd/p/i", ":1: expected lun:"),
            ("lun:\n  a: b", ":1: lun: expected a text"), ("lun: 12", ":1: lun: expected a text"),
            ("lun: true", ":1: lun: expected a text"), ("lun: [a]", ":1: expected a plain value"),
            ("\u{1B}[31m", ":1: holds a tab"), ("lun: ''", ":1: lun: expected a text"),
        ])
    func unknownOwner(text: String, note: String) throws {
        let directory = try Directory(["a.yaml": text])
        let notes = try directory.notes()
        #expect(notes.count == 1)
        #expect(notes.first?.hasPrefix("\(directory.path)/a.yaml\(note)") == true, "\(notes)")
        #expect(notes.first?.hasSuffix("the file counts for no LUN") == true)
        #expect(try directory.settings("rbd/p/i").get() == LUNSettings())
    }

    @Test("a file that is too long, a directory and a FIFO in a file's place are noted, and nothing hangs")
    func oddFiles() throws {
        let directory = try Directory(["long.yaml": "lun: rbd/p/i\n#" + String(repeating: "x", count: 70_000)])
        try #require(mkfifo("\(directory.path)/fifo.yaml", 0o600) == 0)
        #expect(try directory.notes().count == 2)
    }

    @Test("any bytes are read to the end or refused: seed 11")
    func random() {
        var generator = Congruential(state: 11)
        let words = [
            "lun", ": ", ":", "\n", "  ", "'", "\"", "#", " #", "\\", "---", "- ", "true", "é", "\u{301}", "\r",
            "{", "rbd/p/i", "\t",
        ]
        for _ in 0..<5000 {
            var bytes: [UInt8] = []
            for _ in 0..<(generator.next() % 12) {
                if generator.next() % 8 == 0 {
                    bytes.append(UInt8(truncatingIfNeeded: generator.next() >> 32))
                } else {
                    bytes += Array(words[Int(generator.next() % UInt64(words.count))].utf8)
                }
            }
            let text = SettingsText(parsing: bytes)
            #expect(text.entries.allSatisfy { !$0.key.isEmpty && $0.line >= 1 })
            // Cut off behind the problem, everything before it still reads the same.
            if let problem = text.problem {
                let lines = bytes.split(separator: 10, omittingEmptySubsequences: false).prefix(problem.line - 1)
                let again = SettingsText(parsing: Array(lines.joined(separator: [10])))
                #expect(again.problem == nil && again.entries == text.entries, "\(bytes)")
            }
        }
    }
}

private struct Congruential {
    var state: UInt64

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state >> 16
    }
}
