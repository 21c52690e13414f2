import ArgumentParser
import Daemon
import Glibc
import Logging

/// The daemon's command line. It stays in the foreground and logs to standard error.
@main
struct TCMUDaemon: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tcmud",
        abstract: "Serves the logical units that LIO hands to user space (TCMU): RBD images, files, memory.",
        discussion: """
            SIGTERM and SIGINT stop it in order, a second one changes nothing; SIGUSR1 writes a status line per unit to the log. \
            No other signal does anything, SIGHUP included, but those of a crash and SIGKILL.

            Exit status; after a permanent one a restart alone cannot help:
            \(EndStatus.list)
            """,
        version: "tcmud \(BuildInformation.version)")

    @Flag(name: [.short, .customLong("debug")], help: "Log what is done to each device, too.")
    var debug = false

    @Option(help: ArgumentHelp("Threads that serve units; default: one per CPU, at most 2.", valueName: "n"))
    var loopThreads: Int?

    @Option(help: ArgumentHelp("CPUs that these threads stay on, in turn, as in 2,3.", valueName: "list"))
    var loopCpus: String?

    @Option(
        help: ArgumentHelp(
            "Microseconds to watch for a unit's next command before sleeping, 0 to 32; default: 32 with 4 CPUs, else 0.",
            valueName: "us"))
    var spin: Int?

    @Option(help: ArgumentHelp("Seconds until a backend that does not open is given up.", valueName: "s"))
    var openTimeout: Int?

    @Option(
        help: ArgumentHelp(
            "Seconds that a device of an unknown backend is left to another daemon, 0 to 3600; 0 is for ever; default: 5.",
            valueName: "s"))
    var foreignTimeout: Int?

    @Option(
        help: ArgumentHelp("Backends that are always left to another daemon, as in qcow,fbo.", valueName: "list"))
    var foreignSubtypes: String?

    @Option(help: ArgumentHelp("The file whose lock makes this daemon the only one.", valueName: "path"))
    var lockFile: String?

    @Flag(
        help: ArgumentHelp(
            "Disable a LUN's portal groups while its storage is away, as tcmu-runner does; other LUNs go with it."))
    var disablePortalGroupOnLoss = false
    @Flag(name: .customLong("no-dbus"), help: "Stay off the system bus; targetcli then shows no user backstores.")
    var noDBus = false

    @Flag(help: "Leave a core file after a crash, though keys and data are in it; for who looks for a defect.")
    var coreDumps = false

    /// The process first, then the command line: nothing may happen before signals and descriptors are what they should be.
    static func main() {
        let start = ProcessStart()
        do {
            var command = try parseAsRoot()
            guard var daemon = command as? TCMUDaemon else { return try command.run() }
            daemon.start = start
            daemon.run()
        } catch {
            exit(withError: error)
        }
    }

    private var start: ProcessStart?

    private enum CodingKeys: CodingKey {
        case debug, loopThreads, loopCpus, spin, openTimeout, foreignTimeout, foreignSubtypes, lockFile,
            disablePortalGroupOnLoss, noDBus, coreDumps
    }

    mutating func validate() throws {
        if let loopThreads, !(1...256).contains(loopThreads) {
            throw ValidationError("--loop-threads is \(loopThreads), expected 1 to 256")
        }
        if let spin, !(0...32).contains(spin) {
            throw ValidationError("--spin is \(spin), expected 0 to 32 microseconds")
        }
        if let loopCpus, cpus(loopCpus) == nil {
            throw ValidationError("--loop-cpus is \(loopCpus), expected CPUs of this machine, as in 2,3")
        }
        if let openTimeout, !(1...3600).contains(openTimeout) {
            throw ValidationError("--open-timeout is \(openTimeout), expected 1 to 3600 seconds")
        }
        if let foreignTimeout, !(0...3600).contains(foreignTimeout) {
            throw ValidationError("--foreign-timeout is \(foreignTimeout), expected 0 to 3600 seconds")
        }
    }

    /// The numbers in a list as `2,3`; nil if there is anything else in it.
    private func cpus(_ list: String) -> [Int]? {
        let numbers = list.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
        let present = 0..<max(sysconf(Int32(_SC_NPROCESSORS_CONF)), 1)
        return numbers.reduce(into: []) { cpus, number in
            if let number, present.contains(number) { cpus?.append(number) } else { cpus = nil }
        }
    }

    func run() {
        // Nothing that logs may wait for who reads the log.
        let log = LogPipe(to: STDERR_FILENO)
        LoggingSystem.bootstrap { label in StreamLogHandler(label: label, stream: log) }
        var logger = Logger(label: "tcmud")
        logger.logLevel = debug ? .debug : .info
        Allocator.report(to: logger)
        if coreDumps { start?.allowCoreDumps() }
        start?.report(to: logger)
        var options = DaemonOptions()
        options.loopThreads = loopThreads
        options.loopCPUs = loopCpus.flatMap { cpus($0) }
        options.spinMicroseconds = spin
        options.openTimeoutSeconds = openTimeout
        options.foreignTimeoutSeconds = foreignTimeout
        options.foreignSubtypes = foreignSubtypes?.split(separator: ",").map { String($0) } ?? []
        options.lockFile = lockFile
        options.disablesPortalGroupOnLoss = disablePortalGroupOnLoss
        options.log = log
        if noDBus { options.usesDBus = false }
        options.runProcess(logger: logger)
    }
}
