import ArgumentParser
import Daemon
import Glibc
import Logging

/// The daemon's command line. It stays in the foreground and logs to standard error.
@main
struct TCMUDaemon: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tcmud",
        abstract: "Serves the logical units that LIO hands to user space (TCMU): RBD images, files, memory.",
        discussion: "SIGTERM and SIGINT stop it in order; SIGUSR1 writes a status line per unit to the log.",
        version: "tcmud \(BuildInformation.version)")

    @Flag(name: [.short, .customLong("debug")], help: "Log what is done to each device, too.")
    var debug = false

    @Option(help: ArgumentHelp("Threads that serve units; default: one per CPU, at most 2.", valueName: "n"))
    var loopThreads: Int?

    @Option(help: ArgumentHelp("Seconds until a backend that does not open is given up.", valueName: "s"))
    var openTimeout: Int?

    @Option(help: ArgumentHelp("The file whose lock makes this daemon the only one.", valueName: "path"))
    var lockFile: String?

    mutating func validate() throws {
        if let loopThreads, !(1...256).contains(loopThreads) {
            throw ValidationError("--loop-threads is \(loopThreads), expected 1 to 256")
        }
        if let openTimeout, !(1...3600).contains(openTimeout) {
            throw ValidationError("--open-timeout is \(openTimeout), expected 1 to 3600 seconds")
        }
    }

    func run() async throws {
        LoggingSystem.bootstrap { label in StreamLogHandler.standardError(label: label) }
        var logger = Logger(label: "tcmud")
        logger.logLevel = debug ? .debug : .info
        var options = DaemonOptions()
        options.loopThreads = loopThreads
        options.openTimeoutSeconds = openTimeout
        options.lockFile = lockFile
        let served = await options.run(logger: logger)
        // Without exit handlers: librados' threads may still be in an open or a close that hangs, and its destructors
        // would pull the ground from under them.
        _exit(served ? 0 : 1)
    }
}
