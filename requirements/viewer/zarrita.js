const none = () => { throw new Error("zarr is not part of this viewer") };
export const FetchStore = none, open = none, root = none, get = none, registry = new Map();
