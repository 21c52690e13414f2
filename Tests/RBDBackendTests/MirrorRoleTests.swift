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
}
