/// What bounds the commands of a device that are in its ring at once. All of it is fixed when the device is enabled and
/// can only be read here.
///
/// Each is nil where the kernel has no such attribute, and then it is as if it were the default.
extension Backstore {
    /// Size of the data area in MiB (`attrib/max_data_area_mb`, set through `control`; 1024 by default). Commands
    /// whose data find no room in it wait in the kernel.
    ///
    /// `info` shows the same number as `MaxDataAreaMB`, behind the device's configuration, which is anybody's text.
    public func dataAreaMebibytes() throws(KernelFileError) -> Int? {
        try file("attrib", "max_data_area_mb").countIfPresent()
    }

    /// Pages in one block of the data area (`attrib/data_pages_per_blk`; 1 by default). A command's
    /// data take whole blocks.
    public func pagesPerDataBlock() throws(KernelFileError) -> Int? {
        try file("attrib", "data_pages_per_blk").countIfPresent()
    }

    /// Size of mailbox and command ring in MiB (`attrib/cmd_ring_size_mb`; 8 by default, which is
    /// the most).
    public func commandRingMebibytes() throws(KernelFileError) -> Int? {
        try file("attrib", "cmd_ring_size_mb").countIfPresent()
    }

    /// Commands that the kernel calls the device's queue depth (`attrib/hw_queue_depth`; always 128). It tells
    /// initiators nothing and enforces nothing: how many commands come at once is for them and their transport to
    /// say.
    public func queueDepth() throws(KernelFileError) -> Int? {
        try file("attrib", "hw_queue_depth").countIfPresent()
    }
}
