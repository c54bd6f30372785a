"""Triton kernels made for this network; importing any module here loads Triton.

Pictures are channels-last (B H W C, contiguous) in half precision; sums are float32. Traffic is counted in widths:
one read or write of C channels of every pixel.
"""
