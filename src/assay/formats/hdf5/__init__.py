"""HDF5 read without its library: superblock, object headers, groups, heaps and attributes; `hdf5_file` makes facts of them."""
