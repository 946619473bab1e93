// SPDX-License-Identifier: Apache-2.0
//
// What is done to pixels on the GPU around the network. Integers only: every GPU gives the same bytes.
//
// image.ptx is made from this file; tests/helpers/kernels.py tells how, and the tests hold one against the other. The
// same source is compiled for the CPU by the tests and compared with OpenCV, byte for byte.

// One thread makes one pixel of the network's input: the resized image, or the padding around it.
//
// The arithmetic is that of cv::resize with INTER_LINEAR on 8-bit images (OpenCV 4, imgproc/src/resize.cpp): weights of
// 11 bits, rows before columns, and the two roundings of the vertical pass. Where an image is halved exactly in both
// directions, OpenCV takes the mean of four pixels instead; `halve` asks for that.
//
// table: for each column of the resized image {left, right, weight of left, weight of right}, then for each row.
extern "C" __global__ void letterbox(const unsigned char *source, unsigned char *target, const int *table,
                                     int source_width, int target_height, int target_width, int height, int width,
                                     int top, int left, int pad_value, int halve) {
  const int x = blockIdx.x * blockDim.x + threadIdx.x;
  const int y = blockIdx.y * blockDim.y + threadIdx.y;
  if (x >= target_width || y >= target_height) return;
  unsigned char *out = target + 3 * (y * target_width + x);
  const int column = x - left, row = y - top;
  if (column < 0 || column >= width || row < 0 || row >= height) {
    out[0] = out[1] = out[2] = (unsigned char)pad_value;
    return;
  }
  const int *across = table + 4 * column;
  const int *down = table + 4 * (width + row);
  const unsigned char *upper = source + 3 * (long long)down[0] * source_width;
  const unsigned char *lower = source + 3 * (long long)down[1] * source_width;
  const int a = 3 * across[0], b = 3 * across[1];
  for (int channel = 0; channel < 3; ++channel) {
    const int ul = upper[a + channel], ur = upper[b + channel], ll = lower[a + channel], lr = lower[b + channel];
    if (halve) {
      out[channel] = (unsigned char)((ul + ur + ll + lr + 2) >> 2);
      continue;
    }
    const int first = ul * across[2] + ur * across[3];
    const int second = ll * across[2] + lr * across[3];
    out[channel] = (unsigned char)((((down[2] * (first >> 4)) >> 16) + ((down[3] * (second >> 4)) >> 16) + 2) >> 2);
  }
}

// Whole numbers from 0 to 255 in half precision → bytes. torch-tensorrt cannot give out bytes. What is no such number
// (negative, not finite) becomes 0.
extern "C" __global__ void narrow(const unsigned short *source, unsigned char *target, int count) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const int bits = source[i], exponent = bits >> 10;  // the sign bit makes the exponent 32 or more
  const int fraction = 1024 + (bits & 1023);
  target[i] = exponent < 15 || exponent > 22 ? 0 : (unsigned char)(fraction >> (25 - exponent));
}
