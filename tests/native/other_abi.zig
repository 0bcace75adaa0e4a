//! A library of another ABI, for the test that such a one is refused by name and number.

export fn tp_abi_version() callconv(.c) u32 {
    return 999;
}

export fn tp_layout_hash() callconv(.c) u32 {
    return 0xdead_beef;
}
