module @"a \22name\22" {
  func.func public @main(%arg0: tensor<2x3x16x16xf32> loc("input"), %arg1: tensor<4x3x3x3xf32> loc("0.weight"), %arg2: tensor<4xf32> loc("1.weight"), %arg3: tensor<4xf32> loc("1.bias"), %arg4: tensor<4xf32> loc("1.running_mean"), %arg5: tensor<4xf32> loc("1.running_var"), %arg6: tensor<5xf32> loc("5.bias"), %arg7: tensor<5x4xf32> loc("5.weight")) -> (tensor<2x5xf32>) {
    %0 = stablehlo.convolution(%arg0, %arg1) dim_numbers = [b, f, 0, 1]x[o, i, 0, 1]->[b, f, 0, 1], window = {stride = [2, 2], pad = [[1, 1], [1, 1]], lhs_dilate = [1, 1], rhs_dilate = [1, 1]} {batch_group_count = 1 : i64, feature_group_count = 1 : i64} : (tensor<2x3x16x16xf32>, tensor<4x3x3x3xf32>) -> tensor<2x4x8x8xf32>
    %1 = stablehlo.constant dense<1.0e-05> : tensor<4xf32>
    %2 = stablehlo.add %arg5, %1 : tensor<4xf32>
    %3 = stablehlo.rsqrt %2 : tensor<4xf32>
    %4 = stablehlo.broadcast_in_dim %arg4, dims = [1] : (tensor<4xf32>) -> tensor<2x4x8x8xf32>
    %5 = stablehlo.subtract %0, %4 : tensor<2x4x8x8xf32>
    %6 = stablehlo.multiply %3, %arg2 : tensor<4xf32>
    %7 = stablehlo.broadcast_in_dim %6, dims = [1] : (tensor<4xf32>) -> tensor<2x4x8x8xf32>
    %8 = stablehlo.multiply %5, %7 : tensor<2x4x8x8xf32>
    %9 = stablehlo.broadcast_in_dim %arg3, dims = [1] : (tensor<4xf32>) -> tensor<2x4x8x8xf32>
    %10 = stablehlo.add %8, %9 : tensor<2x4x8x8xf32>
    %11 = stablehlo.constant dense<0.0e+00> : tensor<2x4x8x8xf32>
    %12 = stablehlo.maximum %10, %11 : tensor<2x4x8x8xf32>
    %13 = stablehlo.constant dense<0.0e+00> : tensor<f32>
    %14 = stablehlo.constant dense<0xFF800000> : tensor<f32>
    %15 = "stablehlo.reduce_window"(%12, %14) ({
    ^bb0(%a: tensor<f32>, %b: tensor<f32>):
      %c = stablehlo.maximum %a, %b : tensor<f32>
      stablehlo.return %c : tensor<f32>
    }) {padding = dense<[[0, 0], [0, 0], [1, 1], [1, 1]]> : tensor<4x2xi64>, window_dimensions = array<i64: 1, 1, 3, 3>, window_strides = array<i64: 1, 1, 2, 2>} : (tensor<2x4x8x8xf32>, tensor<f32>) -> tensor<2x4x4x4xf32>
    %16 = stablehlo.reduce(%15 init: %13) applies stablehlo.add across dimensions = [2, 3] : (tensor<2x4x4x4xf32>, tensor<f32>) -> tensor<2x4xf32>
    %17 = stablehlo.constant dense<6.25e-02> : tensor<2x4xf32>
    %18 = stablehlo.multiply %16, %17 : tensor<2x4xf32>
    %19 = stablehlo.dot_general %18, %arg7, contracting_dims = [1] x [1] : (tensor<2x4xf32>, tensor<5x4xf32>) -> tensor<2x5xf32>
    %20 = stablehlo.broadcast_in_dim %arg6, dims = [1] : (tensor<5xf32>) -> tensor<2x5xf32>
    %21 = stablehlo.add %19, %20 : tensor<2x5xf32>
    return %21 : tensor<2x5xf32>
  }
}
