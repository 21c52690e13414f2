internal import BlockBackend
internal import CRBD
internal import SystemPackage

/// How one client makes sure of another.
extension ImageSession {
    /// Bars this client from the cluster, on behalf of its successor.
    ///
    /// - Throws: where that is not certain; then nobody may go on as if it were.
    func fence(by cluster: RadosCluster) throws(BackendError) {
        guard !addresses.isEmpty else {
            throw BackendError(
                .addressNotAvailable, "the former client's address is not known; it cannot be fenced")
        }
        try bar(addresses, by: cluster)
    }

    /// Bars the client of `owner` from the cluster, and waits until this client has the map that says so: from then on OSDs
    /// that hear of this client refuse that one. For as long as the monitors bar by default
    /// (`mon_osd_blocklist_default_expire`, an hour), whatever librbd's settings are.
    ///
    /// - Throws: EADDRNOTAVAIL for an owner without an address; EPERM, EACCES without leave to blocklist; ETIMEDOUT. Then nothing
    ///   may be taken from it.
    func bar(_ owner: LockOwner) throws(BackendError) {
        guard let cluster else { throw BackendError(.canceled, "the image is closed") }
        guard let address = owner.address else {
            throw BackendError(.addressNotAvailable, "the owner \(owner.name) has no address; it cannot be fenced")
        }
        try bar([address], by: cluster)
    }

    private func bar(_ addresses: [ClientAddress], by cluster: RadosCluster) throws(BackendError) {
        for address in addresses {
            // librados takes the text as its own to write to, and does not.
            var text = Array(address.description.utf8CString)
            let code = rados_blocklist_add(cluster.handle, &text, 0)
            if code < 0 {
                throw failure(
                    code, "cannot blocklist \(address)",
                    expected: "leave to use osd blocklist, as mon 'profile rbd' has")
            }
        }
        let code = rados_wait_for_latest_osdmap(cluster.handle)
        if code < 0, code != -blocklisted.rawValue {
            throw failure(code, "the blocklist's map does not come", expected: "monitors that answer")
        }
    }

    /// Whether `image` is what this session has open: a name may have a new owner.
    func isSameImage(as image: borrowing RBDImage) -> Bool {
        guard let headerObject, let identifier = image.identifier else { return true }
        return headerObject == "rbd_header." + identifier && rados_ioctx_get_id(image.context.handle) == poolID
    }
}
