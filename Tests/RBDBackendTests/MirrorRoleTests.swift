import Glibc
import RBDBackend
import Testing

@Suite("The role of a mirrored image")
struct MirrorRoleTests {
    @Test(
        "from librbd's answers",
        arguments: [
            (enabled: false, primary: false, role: MirrorRole.none), (false, true, .none), (true, true, .primary),
            (true, false, .nonPrimary),
        ])
    func role(enabled: Bool, primary: Bool, role: MirrorRole) {
        #expect(MirrorRole(enabled: enabled, primary: primary) == role)
        #expect(role.allowsWriting == !(enabled && !primary))
    }

    @Test("errors that may mean a demotion")
    func suspects() {
        let suspects = (-140...0).filter { MirrorRole.isSuspect(Int32($0)) }
        #expect(suspects == [-Int(EROFS), -Int(EPERM)])
    }

    @Test("a copy is always asked about again, and sooner where nothing tells of its promotion")
    func patience() throws {
        let modes: [MirrorMode?] = [nil, .journal, .snapshot]
        for mode in modes { #expect(MirrorRole.nonPrimary.patience(mode) != nil) }
        #expect(
            try #require(MirrorRole.nonPrimary.patience(.journal))
                < #require(MirrorRole.nonPrimary.patience(.snapshot)))
        #expect(MirrorRole.primary.patience(.journal) != nil, "its demotion shows only in failing operations")
        #expect(MirrorRole.primary.patience(.snapshot) == nil)
        for mode in modes { #expect(MirrorRole.none.patience(mode) == nil) }
    }
}
