module @"resnet" {
  func.func public @main(%arg0: tensor<2x3x16x16xf32> loc("input"), %arg1: tensor<2xi64> loc("target"), %arg2: tensor<f32> loc("lr"), %arg3: tensor<4x3x3x3xf32> {tf.aliasing_output = 4 : i32} loc("0.weight"), %arg4: tensor<4xf32> {tf.aliasing_output = 6 : i32} loc("1.weight"), %arg5: tensor<4xf32> {tf.aliasing_output = 8 : i32} loc("1.bias"), %arg6: tensor<4xf32> {tf.aliasing_output = 2 : i32} loc("1.running_mean"), %arg7: tensor<4xf32> {tf.aliasing_output = 3 : i32} loc("1.running_var"), %arg8: tensor<5xf32> {tf.aliasing_output = 12 : i32} loc("5.bias"), %arg9: tensor<5x4xf32> {tf.aliasing_output = 10 : i32} loc("5.weight"), %arg10: tensor<4x3x3x3xf32> {tf.aliasing_output = 5 : i32} loc("optim.momentum.0.weight"), %arg11: tensor<4xf32> {tf.aliasing_output = 7 : i32} loc("optim.momentum.1.weight"), %arg12: tensor<4xf32> {tf.aliasing_output = 9 : i32} loc("optim.momentum.1.bias"), %arg13: tensor<5x4xf32> {tf.aliasing_output = 11 : i32} loc("optim.momentum.5.weight"), %arg14: tensor<5xf32> {tf.aliasing_output = 13 : i32} loc("optim.momentum.5.bias")) -> (tensor<f32>, tensor<2x5xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4x3x3x3xf32>, tensor<4x3x3x3xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<5x4xf32>, tensor<5x4xf32>, tensor<5xf32>, tensor<5xf32>) {
    %0 = stablehlo.convolution(%arg0, %arg3) dim_numbers = [b, f, 0, 1]x[o, i, 0, 1]->[b, f, 0, 1], window = {stride = [2, 2], pad = [[1, 1], [1, 1]], lhs_dilate = [1, 1], rhs_dilate = [1, 1]} {batch_group_count = 1 : i64, feature_group_count = 1 : i64} : (tensor<2x3x16x16xf32>, tensor<4x3x3x3xf32>) -> tensor<2x4x8x8xf32>
    %1 = stablehlo.constant dense<0.0e+00> : tensor<f32>
    %2 = stablehlo.reduce(%0 init: %1) applies stablehlo.add across dimensions = [0, 2, 3] : (tensor<2x4x8x8xf32>, tensor<f32>) -> tensor<4xf32>
    %3 = stablehlo.constant dense<7.8125e-03> : tensor<4xf32>
    %4 = stablehlo.multiply %2, %3 : tensor<4xf32>
    %5 = stablehlo.broadcast_in_dim %4, dims = [1] : (tensor<4xf32>) -> tensor<2x4x8x8xf32>
    %6 = stablehlo.subtract %0, %5 : tensor<2x4x8x8xf32>
    %7 = stablehlo.multiply %6, %6 : tensor<2x4x8x8xf32>
    %8 = stablehlo.reduce(%7 init: %1) applies stablehlo.add across dimensions = [0, 2, 3] : (tensor<2x4x8x8xf32>, tensor<f32>) -> tensor<4xf32>
    %9 = stablehlo.multiply %8, %3 : tensor<4xf32>
    %10 = stablehlo.constant dense<1.0e-05> : tensor<4xf32>
    %11 = stablehlo.add %9, %10 : tensor<4xf32>
    %12 = stablehlo.rsqrt %11 : tensor<4xf32>
    %13 = stablehlo.broadcast_in_dim %4, dims = [1] : (tensor<4xf32>) -> tensor<2x4x8x8xf32>
    %14 = stablehlo.subtract %0, %13 : tensor<2x4x8x8xf32>
    %15 = stablehlo.multiply %12, %arg4 : tensor<4xf32>
    %16 = stablehlo.broadcast_in_dim %15, dims = [1] : (tensor<4xf32>) -> tensor<2x4x8x8xf32>
    %17 = stablehlo.multiply %14, %16 : tensor<2x4x8x8xf32>
    %18 = stablehlo.broadcast_in_dim %arg5, dims = [1] : (tensor<4xf32>) -> tensor<2x4x8x8xf32>
    %19 = stablehlo.add %17, %18 : tensor<2x4x8x8xf32>
    %20 = stablehlo.constant dense<9.0e-01> : tensor<4xf32>
    %21 = stablehlo.multiply %arg6, %20 : tensor<4xf32>
    %22 = stablehlo.constant dense<1.0e-01> : tensor<4xf32>
    %23 = stablehlo.multiply %4, %22 : tensor<4xf32>
    %24 = stablehlo.add %21, %23 : tensor<4xf32>
    %25 = stablehlo.multiply %arg7, %20 : tensor<4xf32>
    %26 = stablehlo.constant dense<1.007874e-01> : tensor<4xf32>
    %27 = stablehlo.multiply %9, %26 : tensor<4xf32>
    %28 = stablehlo.add %25, %27 : tensor<4xf32>
    %29 = stablehlo.constant dense<0.0e+00> : tensor<2x4x8x8xf32>
    %30 = stablehlo.maximum %19, %29 : tensor<2x4x8x8xf32>
    %31 = stablehlo.constant dense<0xFF800000> : tensor<f32>
    %32 = "stablehlo.reduce_window"(%30, %31) ({
    ^bb0(%a: tensor<f32>, %b: tensor<f32>):
      %c = stablehlo.maximum %a, %b : tensor<f32>
      stablehlo.return %c : tensor<f32>
    }) {padding = dense<[[0, 0], [0, 0], [1, 1], [1, 1]]> : tensor<4x2xi64>, window_dimensions = array<i64: 1, 1, 3, 3>, window_strides = array<i64: 1, 1, 2, 2>} : (tensor<2x4x8x8xf32>, tensor<f32>) -> tensor<2x4x4x4xf32>
    %33 = stablehlo.reduce(%32 init: %1) applies stablehlo.add across dimensions = [2, 3] : (tensor<2x4x4x4xf32>, tensor<f32>) -> tensor<2x4xf32>
    %34 = stablehlo.constant dense<6.25e-02> : tensor<2x4xf32>
    %35 = stablehlo.multiply %33, %34 : tensor<2x4xf32>
    %36 = stablehlo.dot_general %35, %arg9, contracting_dims = [1] x [1] : (tensor<2x4xf32>, tensor<5x4xf32>) -> tensor<2x5xf32>
    %37 = stablehlo.broadcast_in_dim %arg8, dims = [1] : (tensor<5xf32>) -> tensor<2x5xf32>
    %38 = stablehlo.add %36, %37 : tensor<2x5xf32>
    %39 = stablehlo.constant dense<1.0e+00> : tensor<2x5xf32>
    %40 = stablehlo.iota dim = 1 : tensor<2x5xi64>
    %41 = stablehlo.broadcast_in_dim %arg1, dims = [0] : (tensor<2xi64>) -> tensor<2x5xi64>
    %42 = stablehlo.compare EQ, %41, %40, SIGNED : (tensor<2x5xi64>, tensor<2x5xi64>) -> tensor<2x5xi1>
    %43 = stablehlo.convert %42 : (tensor<2x5xi1>) -> tensor<2x5xf32>
    %44 = stablehlo.reduce(%43 init: %1) applies stablehlo.add across dimensions = [1] : (tensor<2x5xf32>, tensor<f32>) -> tensor<2xf32>
    %45 = stablehlo.broadcast_in_dim %44, dims = [0] : (tensor<2xf32>) -> tensor<2x5xf32>
    %46 = stablehlo.multiply %43, %39 : tensor<2x5xf32>
    %47 = stablehlo.reduce(%46 init: %1) applies stablehlo.add across dimensions = [0, 1] : (tensor<2x5xf32>, tensor<f32>) -> tensor<f32>
    %48 = stablehlo.compare EQ, %47, %1, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1>
    %49 = stablehlo.constant dense<1.0e+00> : tensor<f32>
    %50 = stablehlo.select %48, %49, %47 : tensor<i1>, tensor<f32>
    %51 = stablehlo.multiply %39, %43 : tensor<2x5xf32>
    %52 = stablehlo.multiply %51, %45 : tensor<2x5xf32>
    %53 = stablehlo.constant dense<0.0e+00> : tensor<2x5xf32>
    %54 = stablehlo.reduce(%38 init: %31) applies stablehlo.maximum across dimensions = [1] : (tensor<2x5xf32>, tensor<f32>) -> tensor<2xf32>
    %55 = stablehlo.broadcast_in_dim %54, dims = [0] : (tensor<2xf32>) -> tensor<2x5xf32>
    %56 = stablehlo.subtract %38, %55 : tensor<2x5xf32>
    %57 = stablehlo.exponential %56 : tensor<2x5xf32>
    %58 = stablehlo.reduce(%57 init: %1) applies stablehlo.add across dimensions = [1] : (tensor<2x5xf32>, tensor<f32>) -> tensor<2xf32>
    %59 = stablehlo.log %58 : tensor<2xf32>
    %60 = stablehlo.broadcast_in_dim %59, dims = [0] : (tensor<2xf32>) -> tensor<2x5xf32>
    %61 = stablehlo.subtract %56, %60 : tensor<2x5xf32>
    %62 = stablehlo.multiply %52, %61 : tensor<2x5xf32>
    %63 = stablehlo.compare NE, %52, %53, FLOAT : (tensor<2x5xf32>, tensor<2x5xf32>) -> tensor<2x5xi1>
    %64 = stablehlo.select %63, %62, %53 : tensor<2x5xi1>, tensor<2x5xf32>
    %65 = stablehlo.reduce(%64 init: %1) applies stablehlo.add across dimensions = [0, 1] : (tensor<2x5xf32>, tensor<f32>) -> tensor<f32>
    %66 = stablehlo.divide %65, %50 : tensor<f32>
    %67 = stablehlo.negate %66 : tensor<f32>
    %68 = stablehlo.constant dense<"0x0000803F"> : tensor<f32>
    %69 = stablehlo.iota dim = 1 : tensor<2x5xi64>
    %70 = stablehlo.broadcast_in_dim %arg1, dims = [0] : (tensor<2xi64>) -> tensor<2x5xi64>
    %71 = stablehlo.compare EQ, %70, %69, SIGNED : (tensor<2x5xi64>, tensor<2x5xi64>) -> tensor<2x5xi1>
    %72 = stablehlo.convert %71 : (tensor<2x5xi1>) -> tensor<2x5xf32>
    %73 = stablehlo.reduce(%72 init: %1) applies stablehlo.add across dimensions = [1] : (tensor<2x5xf32>, tensor<f32>) -> tensor<2xf32>
    %74 = stablehlo.broadcast_in_dim %73, dims = [0] : (tensor<2xf32>) -> tensor<2x5xf32>
    %75 = stablehlo.multiply %72, %39 : tensor<2x5xf32>
    %76 = stablehlo.reduce(%75 init: %1) applies stablehlo.add across dimensions = [0, 1] : (tensor<2x5xf32>, tensor<f32>) -> tensor<f32>
    %77 = stablehlo.compare EQ, %76, %1, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1>
    %78 = stablehlo.select %77, %49, %76 : tensor<i1>, tensor<f32>
    %79 = stablehlo.multiply %39, %72 : tensor<2x5xf32>
    %80 = stablehlo.multiply %79, %74 : tensor<2x5xf32>
    %81 = stablehlo.reduce(%80 init: %1) applies stablehlo.add across dimensions = [1] : (tensor<2x5xf32>, tensor<f32>) -> tensor<2xf32>
    %82 = stablehlo.broadcast_in_dim %81, dims = [0] : (tensor<2xf32>) -> tensor<2x5xf32>
    %83 = stablehlo.reduce(%38 init: %31) applies stablehlo.maximum across dimensions = [1] : (tensor<2x5xf32>, tensor<f32>) -> tensor<2xf32>
    %84 = stablehlo.broadcast_in_dim %83, dims = [0] : (tensor<2xf32>) -> tensor<2x5xf32>
    %85 = stablehlo.subtract %38, %84 : tensor<2x5xf32>
    %86 = stablehlo.exponential %85 : tensor<2x5xf32>
    %87 = stablehlo.reduce(%86 init: %1) applies stablehlo.add across dimensions = [1] : (tensor<2x5xf32>, tensor<f32>) -> tensor<2xf32>
    %88 = stablehlo.log %87 : tensor<2xf32>
    %89 = stablehlo.broadcast_in_dim %88, dims = [0] : (tensor<2xf32>) -> tensor<2x5xf32>
    %90 = stablehlo.subtract %85, %89 : tensor<2x5xf32>
    %91 = stablehlo.exponential %90 : tensor<2x5xf32>
    %92 = stablehlo.multiply %91, %82 : tensor<2x5xf32>
    %93 = stablehlo.subtract %92, %80 : tensor<2x5xf32>
    %94 = stablehlo.divide %68, %78 : tensor<f32>
    %95 = stablehlo.broadcast_in_dim %94, dims = [] : (tensor<f32>) -> tensor<2x5xf32>
    %96 = stablehlo.multiply %93, %95 : tensor<2x5xf32>
    %97 = stablehlo.compare NE, %93, %53, FLOAT : (tensor<2x5xf32>, tensor<2x5xf32>) -> tensor<2x5xi1>
    %98 = stablehlo.select %97, %96, %53 : tensor<2x5xi1>, tensor<2x5xf32>
    %99 = stablehlo.dot_general %98, %arg9, contracting_dims = [1] x [0] : (tensor<2x5xf32>, tensor<5x4xf32>) -> tensor<2x4xf32>
    %100 = stablehlo.dot_general %98, %35, contracting_dims = [0] x [0] : (tensor<2x5xf32>, tensor<2x4xf32>) -> tensor<5x4xf32>
    %101 = stablehlo.reduce(%98 init: %1) applies stablehlo.add across dimensions = [0] : (tensor<2x5xf32>, tensor<f32>) -> tensor<5xf32>
    %102 = stablehlo.multiply %99, %34 : tensor<2x4xf32>
    %103 = stablehlo.reshape %102 : (tensor<2x4xf32>) -> tensor<2x4x1x1xf32>
    %104 = stablehlo.broadcast_in_dim %103, dims = [0, 1, 2, 3] : (tensor<2x4x1x1xf32>) -> tensor<2x4x4x4xf32>
    %105 = "stablehlo.select_and_scatter"(%30, %104, %1) ({
    ^bb0(%a: tensor<f32>, %b: tensor<f32>):
      %c = stablehlo.compare GE, %a, %b, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1>
      stablehlo.return %c : tensor<i1>
    }, {
    ^bb0(%a: tensor<f32>, %b: tensor<f32>):
      %c = stablehlo.add %a, %b : tensor<f32>
      stablehlo.return %c : tensor<f32>
    }) {padding = dense<[[0, 0], [0, 0], [1, 1], [1, 1]]> : tensor<4x2xi64>, window_dimensions = array<i64: 1, 1, 3, 3>, window_strides = array<i64: 1, 1, 2, 2>} : (tensor<2x4x8x8xf32>, tensor<2x4x4x4xf32>, tensor<f32>) -> tensor<2x4x8x8xf32>
    %106 = stablehlo.compare GT, %30, %29, FLOAT : (tensor<2x4x8x8xf32>, tensor<2x4x8x8xf32>) -> tensor<2x4x8x8xi1>
    %107 = stablehlo.select %106, %105, %29 : tensor<2x4x8x8xi1>, tensor<2x4x8x8xf32>
    %108 = stablehlo.broadcast_in_dim %4, dims = [1] : (tensor<4xf32>) -> tensor<2x4x8x8xf32>
    %109 = stablehlo.subtract %0, %108 : tensor<2x4x8x8xf32>
    %110 = stablehlo.broadcast_in_dim %12, dims = [1] : (tensor<4xf32>) -> tensor<2x4x8x8xf32>
    %111 = stablehlo.multiply %109, %110 : tensor<2x4x8x8xf32>
    %112 = stablehlo.reduce(%107 init: %1) applies stablehlo.add across dimensions = [0, 2, 3] : (tensor<2x4x8x8xf32>, tensor<f32>) -> tensor<4xf32>
    %113 = stablehlo.multiply %107, %111 : tensor<2x4x8x8xf32>
    %114 = stablehlo.reduce(%113 init: %1) applies stablehlo.add across dimensions = [0, 2, 3] : (tensor<2x4x8x8xf32>, tensor<f32>) -> tensor<4xf32>
    %115 = stablehlo.multiply %112, %3 : tensor<4xf32>
    %116 = stablehlo.broadcast_in_dim %115, dims = [1] : (tensor<4xf32>) -> tensor<2x4x8x8xf32>
    %117 = stablehlo.subtract %107, %116 : tensor<2x4x8x8xf32>
    %118 = stablehlo.multiply %114, %3 : tensor<4xf32>
    %119 = stablehlo.broadcast_in_dim %118, dims = [1] : (tensor<4xf32>) -> tensor<2x4x8x8xf32>
    %120 = stablehlo.multiply %111, %119 : tensor<2x4x8x8xf32>
    %121 = stablehlo.subtract %117, %120 : tensor<2x4x8x8xf32>
    %122 = stablehlo.multiply %arg4, %12 : tensor<4xf32>
    %123 = stablehlo.broadcast_in_dim %122, dims = [1] : (tensor<4xf32>) -> tensor<2x4x8x8xf32>
    %124 = stablehlo.multiply %121, %123 : tensor<2x4x8x8xf32>
    %125 = stablehlo.convolution(%arg0, %124) dim_numbers = [f, b, 0, 1]x[i, o, 0, 1]->[f, b, 0, 1], window = {stride = [1, 1], pad = [[1, 0], [1, 0]], lhs_dilate = [1, 1], rhs_dilate = [2, 2]} {batch_group_count = 1 : i64, feature_group_count = 1 : i64} : (tensor<2x3x16x16xf32>, tensor<2x4x8x8xf32>) -> tensor<4x3x3x3xf32>
    %126 = stablehlo.constant dense<1.0e-04> : tensor<4x3x3x3xf32>
    %127 = stablehlo.multiply %arg3, %126 : tensor<4x3x3x3xf32>
    %128 = stablehlo.add %125, %127 : tensor<4x3x3x3xf32>
    %129 = stablehlo.broadcast_in_dim %arg2, dims = [] : (tensor<f32>) -> tensor<4x3x3x3xf32>
    %130 = stablehlo.constant dense<9.0e-01> : tensor<4x3x3x3xf32>
    %131 = stablehlo.multiply %arg10, %130 : tensor<4x3x3x3xf32>
    %132 = stablehlo.add %131, %128 : tensor<4x3x3x3xf32>
    %133 = stablehlo.multiply %129, %132 : tensor<4x3x3x3xf32>
    %134 = stablehlo.subtract %arg3, %133 : tensor<4x3x3x3xf32>
    %135 = stablehlo.broadcast_in_dim %arg2, dims = [] : (tensor<f32>) -> tensor<4xf32>
    %136 = stablehlo.multiply %arg11, %20 : tensor<4xf32>
    %137 = stablehlo.add %136, %114 : tensor<4xf32>
    %138 = stablehlo.multiply %135, %137 : tensor<4xf32>
    %139 = stablehlo.subtract %arg4, %138 : tensor<4xf32>
    %140 = stablehlo.broadcast_in_dim %arg2, dims = [] : (tensor<f32>) -> tensor<4xf32>
    %141 = stablehlo.multiply %arg12, %20 : tensor<4xf32>
    %142 = stablehlo.add %141, %112 : tensor<4xf32>
    %143 = stablehlo.multiply %140, %142 : tensor<4xf32>
    %144 = stablehlo.subtract %arg5, %143 : tensor<4xf32>
    %145 = stablehlo.constant dense<1.0e-04> : tensor<5x4xf32>
    %146 = stablehlo.multiply %arg9, %145 : tensor<5x4xf32>
    %147 = stablehlo.add %100, %146 : tensor<5x4xf32>
    %148 = stablehlo.broadcast_in_dim %arg2, dims = [] : (tensor<f32>) -> tensor<5x4xf32>
    %149 = stablehlo.constant dense<9.0e-01> : tensor<5x4xf32>
    %150 = stablehlo.multiply %arg13, %149 : tensor<5x4xf32>
    %151 = stablehlo.add %150, %147 : tensor<5x4xf32>
    %152 = stablehlo.multiply %148, %151 : tensor<5x4xf32>
    %153 = stablehlo.subtract %arg9, %152 : tensor<5x4xf32>
    %154 = stablehlo.broadcast_in_dim %arg2, dims = [] : (tensor<f32>) -> tensor<5xf32>
    %155 = stablehlo.constant dense<9.0e-01> : tensor<5xf32>
    %156 = stablehlo.multiply %arg14, %155 : tensor<5xf32>
    %157 = stablehlo.add %156, %101 : tensor<5xf32>
    %158 = stablehlo.multiply %154, %157 : tensor<5xf32>
    %159 = stablehlo.subtract %arg8, %158 : tensor<5xf32>
    return %67, %38, %24, %28, %134, %132, %139, %137, %144, %142, %153, %151, %159, %157 : tensor<f32>, tensor<2x5xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4x3x3x3xf32>, tensor<4x3x3x3xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<5x4xf32>, tensor<5x4xf32>, tensor<5xf32>, tensor<5xf32>
  }
}
