import Testing

@Suite("Tidiness of the sources")
struct TidyTests {
    /// Bound: think at 400 lines, split by 500.
    static let longest = 500

    static let swiftFolders = ["Sources", "Tests", "Benchmarks"]

    @Test("Files stay short enough to read in one go", arguments: swiftFolders)
    func length(_ folder: String) throws {
        for file in try SourceTree.files(in: folder) {
            // The text ends in a newline, so the last of the split lines is empty.
            let lines = file.lines.count - 1
            #expect(
                lines <= Self.longest,
                "\(file.path) has \(lines) lines; split it by topic (Type+Topic.swift) before it passes \(Self.longest)"
            )
        }
    }

    @Test("Nothing is left for later inside the code", arguments: swiftFolders + ["CSupport"])
    func markers(_ folder: String) throws {
        // Spelled in halves, or this file would find itself.
        let markers = ["TO" + "DO", "FIX" + "ME", "HA" + "CK"]
        let files = try ["", ".h", ".c"].flatMap { suffix in
            try SourceTree.files(in: folder, suffix: suffix.isEmpty ? ".swift" : suffix)
        }
        for file in files {
            for (number, line) in file.lines.enumerated() {
                for marker in markers where line.contains(marker) {
                    Issue.record(
                        "\(file.path):\(number + 1) says \(marker): finish it, or open an issue and name it")
                }
            }
        }
    }

    @Test("The sources do without force unwrap, force try and force cast")
    func force() throws {
        let forbidden = ["try!", " as! "]
        for file in try SourceTree.files(in: "Sources") {
            for (number, line) in file.lines.enumerated() where !isComment(line) {
                for word in forbidden where line.contains(word) {
                    Issue.record("\(file.path):\(number + 1) uses \(word); an error here would stop every LUN")
                }
            }
        }
    }

    @Test("The control plane stays on its own thread")
    func controlThread() throws {
        // Each of these starts libdispatch's pool, which wakes up once a second from then on (ControlThread).
        let forbidden = ["Task {", "Task(priority", "Task.detached {", "Task.sleep(", "Dispatch"]
        for file in try SourceTree.files(in: "Sources/Daemon") where !file.path.hasSuffix("ControlThread.swift") {
            for (number, line) in file.lines.enumerated() where !isComment(line) {
                for word in forbidden where line.contains(word) {
                    Issue.record("\(file.path):\(number + 1) uses \(word); ControlThread says what to use instead")
                }
            }
        }
    }

    @Test("Directories and small files are read in one place")
    func readers() throws {
        // Reading a name out of a dirent by the imported tuple reads beyond the entry; half a dozen readers had as many bounds.
        let forbidden = ["opendir(", "readdir(", "fopen(", ", .readOnly", "O_RDONLY"]
        // Not small, no file to be read, or the descriptor is not for reading.
        let allowed = [
            "FileBackend/ImageFile.swift", "Process/ProcessStart.swift", "TCMUTestKit/RingSimulator.swift",
        ]
        for file in try SourceTree.files(in: "Sources") where file.module != "KernelFiles" {
            if allowed.contains(where: file.path.hasSuffix) { continue }
            for (number, line) in file.lines.enumerated() where !isComment(line) {
                for word in forbidden where line.contains(word) {
                    Issue.record(
                        "\(file.path):\(number + 1) uses \(word); SmallFile and DirectoryReader are for that")
                }
            }
        }
    }

    @Test("Libraries do without Foundation")
    func foundation() throws {
        for folder in ["Sources", "Benchmarks"] {
            for file in try SourceTree.files(in: folder) {
                let found = file.lines.compactMap(importedModule).filter { $0.hasPrefix("Foundation") }
                #expect(
                    found.isEmpty, "\(file.path) imports \(found); the daemon is built on Glibc and SystemPackage")
            }
        }
    }

    @Test("C callbacks are top-level functions, not closures")
    func callbacks() throws {
        // Calls that take a C function pointer, followed by a closure literal in the same argument list.
        let takers = [
            "pthread_create(", "rbd_aio_create_completion(", "rados_aio_create_completion(", "nl_socket_modify_cb(",
        ]
        for file in try SourceTree.files(in: "Sources") {
            for (number, line) in file.lines.enumerated() where !isComment(line) {
                for taker in takers where line.contains(taker) {
                    // The argument list may go on for a few lines.
                    let call = file.lines[number..<min(number + 4, file.lines.count)].joined(separator: " ")
                    let arguments = call.drop { $0 != "(" }.prefix { $0 != ")" }
                    #expect(
                        !arguments.contains("{"),
                        """
                        \(file.path):\(number + 1) hands a closure to \(taker)…): it carries an isolation check that \
                        stops the process on a thread which Swift did not start. Use a top-level function.
                        """)
                }
            }
        }
    }

    private func isComment(_ line: Substring) -> Bool {
        line.drop { $0 == " " }.hasPrefix("//")
    }
}
