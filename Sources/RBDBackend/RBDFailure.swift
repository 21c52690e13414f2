internal import BlockBackend
package import SystemPackage

/// The error for a librados or librbd call that returned `code`, a negative errno: what was tried, why it failed
/// in the words of Ceph where errno's own would mislead, and what was expected.
func failure(_ code: CInt, _ tried: String, expected: String) -> BackendError {
    // A wrapper that gets a success here has a bug, but an open that fails is no place to stop the daemon.
    let errno = code < 0 ? Errno(rawValue: code == CInt.min ? CInt.max : -code) : .ioError
    return BackendError(errno, "\(tried): \(reason(errno)); expected \(expected)")
}

/// ESHUTDOWN, "cannot send after transport endpoint shutdown": librados' EBLOCKLISTED.
let blocklisted = Errno(rawValue: 108)

/// What `errno` means when it comes from Ceph.
package func reason(_ errno: Errno) -> String {
    switch errno {
    case blocklisted: "this client is blocklisted in the cluster"
    case .timedOut: "no answer in time"
    case .permissionDenied: "access denied by cephx"
    case .notPermitted: "the cephx user lacks a key or the capability"
    case .readOnlyFileSystem: "another client owns the image's exclusive lock and keeps it"
    case .resourceBusy: "the image is in use by another client"
    default: errno.description
    }
}
