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
    %48 = stablehlo.multiply %39, %43 : tensor<2x5xf32>
    %49 = stablehlo.multiply %48, %45 : tensor<2x5xf32>
    %50 = stablehlo.constant dense<0.0e+00> : tensor<2x5xf32>
    %51 = stablehlo.reduce(%38 init: %31) applies stablehlo.maximum across dimensions = [1] : (tensor<2x5xf32>, tensor<f32>) -> tensor<2xf32>
    %52 = stablehlo.broadcast_in_dim %51, dims = [0] : (tensor<2xf32>) -> tensor<2x5xf32>
    %53 = stablehlo.subtract %38, %52 : tensor<2x5xf32>
    %54 = stablehlo.exponential %53 : tensor<2x5xf32>
    %55 = stablehlo.reduce(%54 init: %1) applies stablehlo.add across dimensions = [1] : (tensor<2x5xf32>, tensor<f32>) -> tensor<2xf32>
    %56 = stablehlo.log %55 : tensor<2xf32>
    %57 = stablehlo.broadcast_in_dim %56, dims = [0] : (tensor<2xf32>) -> tensor<2x5xf32>
    %58 = stablehlo.subtract %53, %57 : tensor<2x5xf32>
    %59 = stablehlo.multiply %49, %58 : tensor<2x5xf32>
    %60 = stablehlo.compare NE, %49, %50, FLOAT : (tensor<2x5xf32>, tensor<2x5xf32>) -> tensor<2x5xi1>
    %61 = stablehlo.select %60, %59, %50 : tensor<2x5xi1>, tensor<2x5xf32>
    %62 = stablehlo.reduce(%61 init: %1) applies stablehlo.add across dimensions = [0, 1] : (tensor<2x5xf32>, tensor<f32>) -> tensor<f32>
    %63 = stablehlo.divide %62, %47 : tensor<f32>
    %64 = stablehlo.negate %63 : tensor<f32>
    %65 = stablehlo.constant dense<"0x0000803F"> : tensor<f32>
    %66 = stablehlo.iota dim = 1 : tensor<2x5xi64>
    %67 = stablehlo.broadcast_in_dim %arg1, dims = [0] : (tensor<2xi64>) -> tensor<2x5xi64>
    %68 = stablehlo.compare EQ, %67, %66, SIGNED : (tensor<2x5xi64>, tensor<2x5xi64>) -> tensor<2x5xi1>
    %69 = stablehlo.convert %68 : (tensor<2x5xi1>) -> tensor<2x5xf32>
    %70 = stablehlo.reduce(%69 init: %1) applies stablehlo.add across dimensions = [1] : (tensor<2x5xf32>, tensor<f32>) -> tensor<2xf32>
    %71 = stablehlo.broadcast_in_dim %70, dims = [0] : (tensor<2xf32>) -> tensor<2x5xf32>
    %72 = stablehlo.multiply %69, %39 : tensor<2x5xf32>
    %73 = stablehlo.reduce(%72 init: %1) applies stablehlo.add across dimensions = [0, 1] : (tensor<2x5xf32>, tensor<f32>) -> tensor<f32>
    %74 = stablehlo.multiply %39, %69 : tensor<2x5xf32>
    %75 = stablehlo.multiply %74, %71 : tensor<2x5xf32>
    %76 = stablehlo.reduce(%75 init: %1) applies stablehlo.add across dimensions = [1] : (tensor<2x5xf32>, tensor<f32>) -> tensor<2xf32>
    %77 = stablehlo.broadcast_in_dim %76, dims = [0] : (tensor<2xf32>) -> tensor<2x5xf32>
    %78 = stablehlo.reduce(%38 init: %31) applies stablehlo.maximum across dimensions = [1] : (tensor<2x5xf32>, tensor<f32>) -> tensor<2xf32>
    %79 = stablehlo.broadcast_in_dim %78, dims = [0] : (tensor<2xf32>) -> tensor<2x5xf32>
    %80 = stablehlo.subtract %38, %79 : tensor<2x5xf32>
    %81 = stablehlo.exponential %80 : tensor<2x5xf32>
    %82 = stablehlo.reduce(%81 init: %1) applies stablehlo.add across dimensions = [1] : (tensor<2x5xf32>, tensor<f32>) -> tensor<2xf32>
    %83 = stablehlo.log %82 : tensor<2xf32>
    %84 = stablehlo.broadcast_in_dim %83, dims = [0] : (tensor<2xf32>) -> tensor<2x5xf32>
    %85 = stablehlo.subtract %80, %84 : tensor<2x5xf32>
    %86 = stablehlo.exponential %85 : tensor<2x5xf32>
    %87 = stablehlo.multiply %86, %77 : tensor<2x5xf32>
    %88 = stablehlo.subtract %87, %75 : tensor<2x5xf32>
    %89 = stablehlo.divide %65, %73 : tensor<f32>
    %90 = stablehlo.broadcast_in_dim %89, dims = [] : (tensor<f32>) -> tensor<2x5xf32>
    %91 = stablehlo.multiply %88, %90 : tensor<2x5xf32>
    %92 = stablehlo.compare NE, %88, %50, FLOAT : (tensor<2x5xf32>, tensor<2x5xf32>) -> tensor<2x5xi1>
    %93 = stablehlo.select %92, %91, %50 : tensor<2x5xi1>, tensor<2x5xf32>
    %94 = stablehlo.dot_general %93, %arg9, contracting_dims = [1] x [0] : (tensor<2x5xf32>, tensor<5x4xf32>) -> tensor<2x4xf32>
    %95 = stablehlo.dot_general %93, %35, contracting_dims = [0] x [0] : (tensor<2x5xf32>, tensor<2x4xf32>) -> tensor<5x4xf32>
    %96 = stablehlo.reduce(%93 init: %1) applies stablehlo.add across dimensions = [0] : (tensor<2x5xf32>, tensor<f32>) -> tensor<5xf32>
    %97 = stablehlo.multiply %94, %34 : tensor<2x4xf32>
    %98 = stablehlo.reshape %97 : (tensor<2x4xf32>) -> tensor<2x4x1x1xf32>
    %99 = stablehlo.broadcast_in_dim %98, dims = [0, 1, 2, 3] : (tensor<2x4x1x1xf32>) -> tensor<2x4x4x4xf32>
    %100 = "stablehlo.select_and_scatter"(%30, %99, %1) ({
    ^bb0(%a: tensor<f32>, %b: tensor<f32>):
      %c = stablehlo.compare GE, %a, %b, FLOAT : (tensor<f32>, tensor<f32>) -> tensor<i1>
      stablehlo.return %c : tensor<i1>
    }, {
    ^bb0(%a: tensor<f32>, %b: tensor<f32>):
      %c = stablehlo.add %a, %b : tensor<f32>
      stablehlo.return %c : tensor<f32>
    }) {padding = dense<[[0, 0], [0, 0], [1, 1], [1, 1]]> : tensor<4x2xi64>, window_dimensions = array<i64: 1, 1, 3, 3>, window_strides = array<i64: 1, 1, 2, 2>} : (tensor<2x4x8x8xf32>, tensor<2x4x4x4xf32>, tensor<f32>) -> tensor<2x4x8x8xf32>
    %101 = stablehlo.compare GT, %30, %29, FLOAT : (tensor<2x4x8x8xf32>, tensor<2x4x8x8xf32>) -> tensor<2x4x8x8xi1>
    %102 = stablehlo.select %101, %100, %29 : tensor<2x4x8x8xi1>, tensor<2x4x8x8xf32>
    %103 = stablehlo.broadcast_in_dim %4, dims = [1] : (tensor<4xf32>) -> tensor<2x4x8x8xf32>
    %104 = stablehlo.subtract %0, %103 : tensor<2x4x8x8xf32>
    %105 = stablehlo.broadcast_in_dim %12, dims = [1] : (tensor<4xf32>) -> tensor<2x4x8x8xf32>
    %106 = stablehlo.multiply %104, %105 : tensor<2x4x8x8xf32>
    %107 = stablehlo.reduce(%102 init: %1) applies stablehlo.add across dimensions = [0, 2, 3] : (tensor<2x4x8x8xf32>, tensor<f32>) -> tensor<4xf32>
    %108 = stablehlo.multiply %102, %106 : tensor<2x4x8x8xf32>
    %109 = stablehlo.reduce(%108 init: %1) applies stablehlo.add across dimensions = [0, 2, 3] : (tensor<2x4x8x8xf32>, tensor<f32>) -> tensor<4xf32>
    %110 = stablehlo.multiply %107, %3 : tensor<4xf32>
    %111 = stablehlo.broadcast_in_dim %110, dims = [1] : (tensor<4xf32>) -> tensor<2x4x8x8xf32>
    %112 = stablehlo.subtract %102, %111 : tensor<2x4x8x8xf32>
    %113 = stablehlo.multiply %109, %3 : tensor<4xf32>
    %114 = stablehlo.broadcast_in_dim %113, dims = [1] : (tensor<4xf32>) -> tensor<2x4x8x8xf32>
    %115 = stablehlo.multiply %106, %114 : tensor<2x4x8x8xf32>
    %116 = stablehlo.subtract %112, %115 : tensor<2x4x8x8xf32>
    %117 = stablehlo.multiply %arg4, %12 : tensor<4xf32>
    %118 = stablehlo.broadcast_in_dim %117, dims = [1] : (tensor<4xf32>) -> tensor<2x4x8x8xf32>
    %119 = stablehlo.multiply %116, %118 : tensor<2x4x8x8xf32>
    %120 = stablehlo.convolution(%arg0, %119) dim_numbers = [f, b, 0, 1]x[i, o, 0, 1]->[f, b, 0, 1], window = {stride = [1, 1], pad = [[1, 0], [1, 0]], lhs_dilate = [1, 1], rhs_dilate = [2, 2]} {batch_group_count = 1 : i64, feature_group_count = 1 : i64} : (tensor<2x3x16x16xf32>, tensor<2x4x8x8xf32>) -> tensor<4x3x3x3xf32>
    %121 = stablehlo.constant dense<1.0e-04> : tensor<4x3x3x3xf32>
    %122 = stablehlo.multiply %arg3, %121 : tensor<4x3x3x3xf32>
    %123 = stablehlo.add %120, %122 : tensor<4x3x3x3xf32>
    %124 = stablehlo.broadcast_in_dim %arg2, dims = [] : (tensor<f32>) -> tensor<4x3x3x3xf32>
    %125 = stablehlo.constant dense<9.0e-01> : tensor<4x3x3x3xf32>
    %126 = stablehlo.multiply %arg10, %125 : tensor<4x3x3x3xf32>
    %127 = stablehlo.add %126, %123 : tensor<4x3x3x3xf32>
    %128 = stablehlo.multiply %124, %127 : tensor<4x3x3x3xf32>
    %129 = stablehlo.subtract %arg3, %128 : tensor<4x3x3x3xf32>
    %130 = stablehlo.broadcast_in_dim %arg2, dims = [] : (tensor<f32>) -> tensor<4xf32>
    %131 = stablehlo.multiply %arg11, %20 : tensor<4xf32>
    %132 = stablehlo.add %131, %109 : tensor<4xf32>
    %133 = stablehlo.multiply %130, %132 : tensor<4xf32>
    %134 = stablehlo.subtract %arg4, %133 : tensor<4xf32>
    %135 = stablehlo.broadcast_in_dim %arg2, dims = [] : (tensor<f32>) -> tensor<4xf32>
    %136 = stablehlo.multiply %arg12, %20 : tensor<4xf32>
    %137 = stablehlo.add %136, %107 : tensor<4xf32>
    %138 = stablehlo.multiply %135, %137 : tensor<4xf32>
    %139 = stablehlo.subtract %arg5, %138 : tensor<4xf32>
    %140 = stablehlo.constant dense<1.0e-04> : tensor<5x4xf32>
    %141 = stablehlo.multiply %arg9, %140 : tensor<5x4xf32>
    %142 = stablehlo.add %95, %141 : tensor<5x4xf32>
    %143 = stablehlo.broadcast_in_dim %arg2, dims = [] : (tensor<f32>) -> tensor<5x4xf32>
    %144 = stablehlo.constant dense<9.0e-01> : tensor<5x4xf32>
    %145 = stablehlo.multiply %arg13, %144 : tensor<5x4xf32>
    %146 = stablehlo.add %145, %142 : tensor<5x4xf32>
    %147 = stablehlo.multiply %143, %146 : tensor<5x4xf32>
    %148 = stablehlo.subtract %arg9, %147 : tensor<5x4xf32>
    %149 = stablehlo.broadcast_in_dim %arg2, dims = [] : (tensor<f32>) -> tensor<5xf32>
    %150 = stablehlo.constant dense<9.0e-01> : tensor<5xf32>
    %151 = stablehlo.multiply %arg14, %150 : tensor<5xf32>
    %152 = stablehlo.add %151, %96 : tensor<5xf32>
    %153 = stablehlo.multiply %149, %152 : tensor<5xf32>
    %154 = stablehlo.subtract %arg8, %153 : tensor<5xf32>
    return %64, %38, %24, %28, %129, %127, %134, %132, %139, %137, %148, %146, %154, %152 : tensor<f32>, tensor<2x5xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4x3x3x3xf32>, tensor<4x3x3x3xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<4xf32>, tensor<5x4xf32>, tensor<5x4xf32>, tensor<5xf32>, tensor<5xf32>
  }
}
